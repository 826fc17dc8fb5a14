//! The typed jobs of Work Factory itself, one file each, and the registry of them. One more is a
//! file in `jobs/` and one line here; job types of one's own are a crate of one's own.

use crate::finite::Finite;
use crate::registry::Registry;
use crate::run_error::RunError;

/// Declares each job's module and enters it into the registry.
macro_rules! jobs {
    ($($module:ident::$name:ident),+ $(,)?) => {
        $(
            mod $module;
            pub use $module::$name;
        )+

        /// The registry of these jobs.
        #[must_use]
        pub fn registry() -> Registry {
            Registry::new()$(.with::<$name>())+
        }
    };
}

jobs! {
    add::Add,
    subtract::Subtract,
    multiply::Multiply,
    divide::Divide,
}

/// A result. One that is not a finite number fails the job for good, because another run would have
/// the same.
fn finite(result: f64) -> Result<Finite, RunError> {
    Finite::new(result).ok_or_else(|| {
        if result.is_nan() {
            RunError::for_good("undefined", "the result is not a number")
        } else {
            let message = "the result is too large for a 64-bit floating-point number";
            RunError::for_good("overflow", message)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Instant;

    use faktory_wire::RawJson;

    use crate::{JobContext, RunError};

    /// The result, or the error, of a run that waits for nothing.
    pub(super) fn run(operation: &str, args: &str) -> Result<String, RunError> {
        let context = JobContext::new("".into(), Instant::now(), Default::default());
        let definition = super::registry().find(operation).unwrap();
        let run = pin!(definition.run(RawJson::from_checked(args.to_owned()), context));
        match run.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.map(|json| json.get().to_owned()),
            Poll::Pending => panic!("{operation} waits"),
        }
    }

    #[test]
    fn each_operation_computes_its_result() {
        assert_eq!(run("add", "[1,2]").unwrap(), "3");
        assert_eq!(run("subtract", "[1,2.5]").unwrap(), "-1.5");
        assert_eq!(run("multiply", "[3, 4]").unwrap(), "12");
        assert_eq!(run("divide", "[1,8]").unwrap(), "0.125");
    }

    #[test]
    fn jobs_that_can_never_succeed_fail_for_good() {
        for (operation, args, errtype) in [
            ("divide", "[1,0]", "invalid_args"),
            ("divide", "[1,-0.0]", "invalid_args"),
            ("multiply", "[1e200,1e200]", "overflow"),
            ("add", "[1]", "invalid_args"),
            ("add", "[1,2,3]", "invalid_args"),
            ("add", "[1,\"2\"]", "invalid_args"),
            ("add", "{}", "invalid_args"),
        ] {
            let error = run(operation, args).unwrap_err();
            assert!(
                error.is_for_good() && error.kind() == errtype,
                "{operation} {args}: {error:?}"
            );
        }
    }
}
