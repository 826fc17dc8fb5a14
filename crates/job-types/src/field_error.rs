//! The faults of a posted job, for people and for programs.

use std::fmt;

/// The kind of a fault, as a stable word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The job is not a JSON object.
    NotAnObject,
    /// A member that this job, or any job, does not have.
    UnknownField,
    /// A member that appears twice.
    DuplicateField,
    /// A member that is null.
    NullField,
    /// A required member that is missing.
    MissingField,
    /// A member of another JSON type, or outside its range.
    InvalidValue,
    /// Not exactly one of `operation` and `jobtype`.
    AmbiguousJob,
    /// No such typed job.
    UnknownOperation,
    /// A queue name with other characters or too many.
    InvalidQueue,
    /// A job id with other characters, too few or too many.
    InvalidJobId,
    /// The same id twice in one batch.
    DuplicateJobId,
    /// A time that is not valid, or too late.
    InvalidAt,
    /// A number that Faktory would change.
    NumberNotExact,
    /// JSON nested deeper than allowed.
    TooDeep,
    /// Half of a surrogate pair in a string.
    LoneSurrogate,
    /// A member of `custom` that is reserved for Work Factory.
    ReservedField,
    /// A memory of ids asked for, and the work server remembers none.
    IdsNotRemembered,
    /// A longer memory of ids asked for than the work server has.
    DedupForTooLong,
    /// Compression asked for in a queue whose workers may not know it.
    CompressionNotEnabled,
    /// More bytes of JSON than one job may have.
    JobTooLarge,
    /// A queue beyond the number of queues that the service accepts.
    TooManyQueues,
}

impl Code {
    /// The word, as answers show it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::UnknownField => "unknown_field",
            Self::DuplicateField => "duplicate_field",
            Self::NullField => "null_field",
            Self::MissingField => "missing_field",
            Self::InvalidValue => "invalid_value",
            Self::AmbiguousJob => "ambiguous_job",
            Self::UnknownOperation => "unknown_operation",
            Self::InvalidQueue => "invalid_queue",
            Self::InvalidJobId => "invalid_job_id",
            Self::DuplicateJobId => "duplicate_job_id",
            Self::InvalidAt => "invalid_at",
            Self::NumberNotExact => "number_not_exact",
            Self::TooDeep => "too_deep",
            Self::LoneSurrogate => "lone_surrogate",
            Self::ReservedField => "reserved_field",
            Self::IdsNotRemembered => "ids_not_remembered",
            Self::DedupForTooLong => "dedup_for_too_long",
            Self::CompressionNotEnabled => "compression_not_enabled",
            Self::JobTooLarge => "job_too_large",
            Self::TooManyQueues => "too_many_queues",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One fault of a posted job: where it is, its kind, and what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The JSON pointer (RFC 6901) to the member.
    pub pointer: String,
    /// The kind of the fault.
    pub code: Code,
    /// The detail for a person: what is wrong and what is accepted.
    pub detail: String,
}

impl FieldError {
    /// A value that the member with this name must not have. The detail says what is wrong and what
    /// is accepted: `number must be 0 or more`.
    #[must_use]
    pub fn invalid(member: &str, detail: impl Into<String>) -> Self {
        Self::at(member, Code::InvalidValue, detail)
    }

    pub(crate) fn new(pointer: impl Into<String>, code: Code, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }

    /// A fault of the member with this name.
    pub(crate) fn at(member: &str, code: Code, detail: impl Into<String>) -> Self {
        Self::new(pointer_to(member), code, detail)
    }

    pub(crate) fn inside(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}

/// The escaped pointer to a member. A long name is cut, because a pointer need not be long.
fn pointer_to(member: &str) -> String {
    let shown: String = member.chars().take(100).collect();
    format!("/{}", shown.replace('~', "~0").replace('/', "~1"))
}
