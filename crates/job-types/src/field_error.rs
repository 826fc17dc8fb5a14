//! One fault in a job, as told to a person and to a program.

use std::fmt;

/// What is wrong, as a word that stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The job is no JSON object.
    NotAnObject,
    /// A member that no job, or not this job, has.
    UnknownField,
    /// A member that stands twice.
    DuplicateField,
    /// A member that is null.
    NullField,
    /// A member that must be there.
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
    /// A time that is none, or too far away.
    InvalidAt,
    /// A number that Faktory would change.
    NumberNotExact,
    /// JSON nested deeper than allowed.
    TooDeep,
    /// Half of a surrogate pair in a string.
    LoneSurrogate,
    /// A member of `custom` that is ours.
    ReservedField,
    /// A queue that would be one too many for the service.
    TooManyQueues,
}

impl Code {
    /// The word.
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
            Self::TooManyQueues => "too_many_queues",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One fault: where, what, and what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the member.
    pub pointer: String,
    /// What is wrong.
    pub code: Code,
    /// For a person: what is wrong and what is accepted.
    pub detail: String,
}

impl FieldError {
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

/// The pointer to a member, escaped; a name can be long, a pointer need not.
fn pointer_to(member: &str) -> String {
    let shown: String = member.chars().take(100).collect();
    format!("/{}", shown.replace('~', "~0").replace('/', "~1"))
}
