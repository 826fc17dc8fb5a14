//! The definition of a typed job: its name, its members, how members become args, and its run.

use std::pin::Pin;

use faktory_wire::RawJson;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::context::JobContext;
use crate::field_error::{Code, FieldError};
use crate::finite::Finite;
use crate::json_check;
use crate::run_error::RunError;

/// A type that a member of a typed job can have.
pub trait Argument: Sized {
    /// The accepted values, for people; the text continues the words "must be".
    const ACCEPTS: &'static str;

    /// Reads a value from JSON text; `None` where the text is not such a value.
    fn from_json(json: &str) -> Option<Self>;

    /// Appends the value as JSON text.
    fn write_json(&self, out: &mut Vec<u8>);
}

macro_rules! argument {
    ($($type:ty: $accepts:literal),* $(,)?) => {$(
        impl Argument for $type {
            const ACCEPTS: &'static str = $accepts;

            fn from_json(json: &str) -> Option<Self> {
                serde_json::from_str(json).ok()
            }

            fn write_json(&self, out: &mut Vec<u8>) {
                let begin = out.len();
                // Every value of these types can be written.
                if serde_json::to_writer(&mut *out, self).is_err() {
                    out.truncate(begin);
                    out.extend_from_slice(b"null");
                }
            }
        }
    )*};
}

argument! {
    Finite: "a finite number",
    String: "a string",
    bool: "true or false",
    i64: "a whole number that fits 64 bits",
    u64: "a whole number of 0 or more that fits 64 bits",
}

/// A member of a typed job, as declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberInfo {
    /// The member's name.
    pub name: &'static str,
    /// The accepted values, for people.
    pub accepts: &'static str,
}

/// A typed job; made by [`define_job!`](crate::define_job).
pub trait JobDefinition: Sized {
    /// The operation's name: the path, the `operation` of a body, and the `jobtype` on the wire.
    const OPERATION: &'static str;
    /// The members, in the order in which they become args.
    const MEMBERS: &'static [MemberInfo];

    /// Takes the members out of the posted ones; `None` where a member has a fault, which `values`
    /// then holds.
    fn from_members(values: &mut MemberValues<'_>) -> Option<Self>;

    /// Reads positional args.
    ///
    /// # Errors
    /// For good, where the job does not take these args.
    fn from_args(args: &str) -> Result<Self, RunError>;

    /// The args, in the declared order.
    fn to_args(&self) -> RawJson;
}

/// The run of a typed job.
///
/// ```
/// use job_types::{Finite, JobContext, RunError, RunJob, define_job};
///
/// define_job! {
///     /// Negates a number.
///     pub struct Negate = "negate" { number: Finite }
/// }
///
/// impl RunJob for Negate {
///     type Output = f64;
///
///     async fn run(self, _: JobContext) -> Result<f64, RunError> {
///         Ok(-self.number.get())
///     }
/// }
/// ```
pub trait RunJob: JobDefinition + Send + 'static {
    /// The result, which the worker logs as JSON.
    type Output: Serialize;

    /// Checks args beyond their types. The API does so before it takes the job, and answers 422
    /// with these faults; a worker does so before it runs the job, which may have come by another
    /// way, and fails it for good. The check is a pure function of the args: what may change until
    /// the job runs belongs into the run.
    ///
    /// # Errors
    /// With every fault, made by [`FieldError::invalid`].
    fn check(&self) -> Result<(), Vec<FieldError>> {
        Ok(())
    }

    /// Runs the job: an `async fn` that must not block. The future is dropped when the job's time,
    /// or the worker's time to end, is over; before that, the context's cancellation says so.
    ///
    /// # Errors
    /// Retryable, or for good.
    fn run(
        self,
        context: JobContext,
    ) -> impl Future<Output = Result<Self::Output, RunError>> + Send;
}

/// Runs a job with args in their wire form, as a worker does.
///
/// # Errors
/// Retryable, or for good; args that the job does not take fail for good.
pub async fn run<J: RunJob>(args: &str, context: JobContext) -> Result<J::Output, RunError> {
    let job = J::from_args(args)?;
    if let Err(faults) = job.check() {
        let details: Vec<String> = faults.into_iter().map(|fault| fault.detail).collect();
        return Err(RunError::for_good("invalid_args", details.join("; ")));
    }
    job.run(context).await
}

/// A run that has been started. Its value is the result as JSON.
pub type JobFuture = Pin<Box<dyn Future<Output = Result<RawJson, RunError>> + Send>>;

/// The definition of a typed job without its Rust type, for the registry.
#[derive(Clone, Copy)]
pub struct Definition {
    operation: &'static str,
    members: &'static [MemberInfo],
    args_of: fn(&mut MemberValues<'_>) -> Option<RawJson>,
    run: fn(RawJson, JobContext) -> JobFuture,
}

impl Definition {
    /// The definition of `J`.
    #[must_use]
    pub const fn of<J: RunJob>() -> Self {
        Self {
            operation: J::OPERATION,
            members: J::MEMBERS,
            args_of: |values| {
                let job = J::from_members(values)?;
                match job.check() {
                    Ok(()) => Some(job.to_args()),
                    Err(faults) => values.refuse(faults),
                }
            },
            run: |args, context| {
                Box::pin(async move { json_of(&run::<J>(args.get(), context).await?) })
            },
        }
    }

    /// The operation's name.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// The members, in the order in which they become args.
    #[must_use]
    pub const fn members(&self) -> &'static [MemberInfo] {
        self.members
    }

    /// Runs the job with args in their wire form, as [`run`] does.
    #[must_use]
    pub fn run(&self, args: RawJson, context: JobContext) -> JobFuture {
        (self.run)(args, context)
    }

    pub(crate) fn args_of(&self, values: &mut MemberValues<'_>) -> Option<RawJson> {
        (self.args_of)(values)
    }
}

impl std::fmt::Debug for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Definition")
            .field("operation", &self.operation)
            .field("members", &self.members)
            .finish()
    }
}

/// The JSON of a result. Where it has none, another run would have none either.
fn json_of(output: &impl Serialize) -> Result<RawJson, RunError> {
    match serde_json::to_string(output) {
        Ok(json) => Ok(RawJson::from_checked(json)),
        Err(error) => Err(RunError::for_good("no_json", format!("of the result: {error}"))),
    }
}

/// The members of a posted job that are not options, and the faults found in them.
#[derive(Debug, Default)]
pub struct MemberValues<'a> {
    pub(crate) values: Vec<(&'a str, &'a RawValue)>,
    pub(crate) errors: Vec<FieldError>,
}

impl MemberValues<'_> {
    /// Notes faults of a job whose members are there.
    fn refuse<T>(&mut self, faults: Vec<FieldError>) -> Option<T> {
        self.errors.extend(faults);
        if self.errors.is_empty() {
            let detail = "the job does not take these args";
            self.errors.push(FieldError::new("", Code::InvalidValue, detail));
        }
        None
    }

    /// Takes the value of a member; `None` where the member is missing or its value is not
    /// accepted, which is then among the faults.
    pub fn take<T: Argument>(&mut self, name: &str) -> Option<T> {
        let Some(position) = self.values.iter().position(|(member, _)| *member == name) else {
            let detail = format!("{name} is missing; it must be {}", T::ACCEPTS);
            self.errors.push(FieldError::at(name, Code::MissingField, detail));
            return None;
        };
        let (_, raw) = self.values.swap_remove(position);
        let value = json_check::check(raw.get(), name).and_then(|json| {
            T::from_json(&json).ok_or_else(|| {
                FieldError::at(name, Code::InvalidValue, format!("{name} must be {}", T::ACCEPTS))
            })
        });
        value.map_err(|error| self.errors.push(error)).ok()
    }
}

/// Divides positional args into as many values as the job has members.
///
/// # Errors
/// For good, where the args are not an array, or not an array of `N` values.
pub fn positional<const N: usize>(args: &str) -> Result<[&RawValue; N], RunError> {
    let values: Vec<&RawValue> = serde_json::from_str(args)
        .map_err(|_| RunError::for_good("invalid_args", "args are not an array"))?;
    let count = values.len();
    values
        .try_into()
        .map_err(|_| RunError::for_good("invalid_args", format!("expected {N} args, got {count}")))
}

/// A function that appends one positional arg as JSON text.
pub type WriteArg<'a> = &'a dyn Fn(&mut Vec<u8>);

/// The positional args that these functions write.
#[must_use]
pub fn args_of(writers: &[WriteArg<'_>]) -> RawJson {
    let mut json = Vec::with_capacity(2 + 16 * writers.len());
    json.push(b'[');
    for (index, write) in writers.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write(&mut json);
    }
    json.push(b']');
    RawJson::from_checked(String::from_utf8(json).unwrap_or_else(|_| "[]".into()))
}

/// Defines a typed job by its members: the struct, and how it is read from a posted job and from
/// the wire form. The type of each member must be an [`Argument`](crate::Argument). See the crate's
/// page for an example.
#[macro_export]
macro_rules! define_job {
    (
        $(#[$doc:meta])*
        $vis:vis struct $name:ident = $operation:literal {
            $($(#[$member_doc:meta])* $member:ident: $type:ty),+ $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $(
                $(#[$member_doc])*
                #[doc = concat!("Member `", stringify!($member), "`.")]
                pub $member: $type,
            )+
        }

        impl $crate::JobDefinition for $name {
            const OPERATION: &'static str = $operation;
            const MEMBERS: &'static [$crate::MemberInfo] = &[
                $($crate::MemberInfo {
                    name: stringify!($member),
                    accepts: <$type as $crate::Argument>::ACCEPTS,
                },)+
            ];

            fn from_members(values: &mut $crate::MemberValues<'_>) -> Option<Self> {
                // All members are taken before any is used, so that every fault is found.
                $(let $member = values.take(stringify!($member));)+
                Some(Self { $($member: $member?,)+ })
            }

            fn from_args(args: &str) -> Result<Self, $crate::RunError> {
                let [$($member),+] = $crate::positional(args)?;
                $(
                    let $member = <$type as $crate::Argument>::from_json($member.get())
                        .ok_or_else(|| {
                            let accepts = <$type as $crate::Argument>::ACCEPTS;
                            let message = format!("{} must be {accepts}", stringify!($member));
                            $crate::RunError::for_good("invalid_args", message)
                        })?;
                )+
                Ok(Self { $($member,)+ })
            }

            fn to_args(&self) -> $crate::RawJson {
                $crate::args_of(&[$(&|out| $crate::Argument::write_json(&self.$member, out)),+])
            }
        }
    };
}
