//! Work of an async run that blocks, or computes for long.

use job_types::RunError;

use crate::panics;

/// Runs a function that blocks or computes for long, within a run that must not. It runs on one of
/// the blocking threads of the runtime (512 where not set otherwise).
///
/// A function cannot be stopped: where the future is dropped because the job's time is over, the
/// function goes on, unless it looks at [`JobContext::is_cancelled`](crate::JobContext) itself.
///
/// ```
/// # use worker_service::{JobContext, RunError, blocking};
/// async fn run(context: JobContext) -> Result<u64, RunError> {
///     blocking(move || {
///         let mut sum = 0_u64;
///         for number in 0..1_000_000 {
///             if context.is_cancelled() {
///                 return Err(RunError::retryable("cancelled", "the worker ends"));
///             }
///             sum = sum.wrapping_add(number);
///         }
///         Ok(sum)
///     })
///     .await
/// }
/// ```
///
/// # Errors
/// Those of the function.
///
/// # Panics
/// Where the function does, which fails the job as any panic of a run does.
pub async fn blocking<T, F>(function: F) -> Result<T, RunError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, RunError> + Send + 'static,
{
    panics::on_blocking_thread(function)
        .await
        .unwrap_or_else(|error| Err(RunError::retryable("cancelled", error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{IntoOutcome, Outcome};
    use crate::panics::Caught;

    #[tokio::test]
    async fn a_panic_of_a_blocking_function_is_reported_with_its_text_and_location() {
        panics::install_hook();
        let panics = || -> Result<(), RunError> { panic!("deliberate {}", 7) };
        let run = Caught::start(|| Box::pin(async { blocking(panics).await.into_outcome() }));
        let Outcome::Failed(failure) = run.await else { panic!("no failure") };
        assert_eq!(failure.message, "handler panicked: deliberate 7");
        assert!(failure.backtrace[0].contains("blocking.rs"), "{:?}", failure.backtrace);
    }

    #[tokio::test]
    async fn the_result_of_a_blocking_function_is_that_of_the_run() {
        assert_eq!(blocking(|| Ok(3)).await, Ok(3));
        let error = RunError::for_good("no", "never");
        let failed = error.clone();
        assert_eq!(blocking(move || Err::<(), _>(failed)).await, Err(error));
    }
}
