//! Panics of handlers: caught, and reported with the line of code where they happened.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

use tokio::task::JoinError;

use crate::outcome::{Failure, Outcome};

thread_local! {
    /// The location and backtrace of the last panic on this thread, as the hook saw it.
    static LAST: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

static HOOK: Once = Once::new();

/// Puts a hook in front of the process's own, once, that notes where each panic happened.
pub(crate) fn install_hook() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let mut lines: Vec<String> =
                info.location().map(|location| format!("at {location}")).into_iter().collect();
            lines.extend(
                Backtrace::capture().to_string().lines().map(|line| line.trim().to_owned()),
            );
            LAST.with(|last| *last.borrow_mut() = lines);
            before(info);
        }));
    });
}

/// Runs a function; a panic becomes a failure.
pub(crate) fn catch(run: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|cause| failure(&*cause))
}

fn failure(cause: &(dyn Any + Send)) -> Outcome {
    let text = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied());
    let message = format!("handler panicked: {}", text.unwrap_or("no text"));
    let mut backtrace = LAST.with(|last| std::mem::take(&mut *last.borrow_mut()));
    backtrace.retain(|line| line != "disabled backtrace");
    Outcome::Failed(Failure { kind: "panic".into(), message, backtrace })
}

/// Runs a function on a thread that may be blocked. A panic there is passed on, with the line of
/// code where it happened.
pub(crate) async fn on_blocking_thread<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    let noted = move || {
        catch_unwind(AssertUnwindSafe(run))
            .map_err(|cause| (cause, LAST.with(|last| std::mem::take(&mut *last.borrow_mut()))))
    };
    match tokio::task::spawn_blocking(noted).await? {
        Ok(value) => Ok(value),
        Err((cause, lines)) => {
            LAST.with(|last| *last.borrow_mut() = lines);
            resume_unwind(cause)
        }
    }
}

/// A run whose panic becomes a failure.
pub(crate) enum Caught<F: ?Sized> {
    Running(Pin<Box<F>>),
    /// It panicked at once.
    Ended(Outcome),
}

impl<F: ?Sized> Caught<F> {
    /// Starts a run.
    pub(crate) fn start(run: impl FnOnce() -> Pin<Box<F>>) -> Self {
        catch_unwind(AssertUnwindSafe(run))
            .map_or_else(|cause| Self::Ended(failure(&*cause)), Self::Running)
    }
}

impl<F: Future<Output = Outcome> + ?Sized> Future for Caught<F> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let run = match &mut *self {
            Self::Running(run) => run,
            Self::Ended(outcome) => return Poll::Ready(outcome.clone()),
        };
        // After a panic the future is not polled again.
        match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(context))) {
            Ok(poll) => poll,
            Err(cause) => Poll::Ready(failure(&*cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_reported_with_its_text_and_location() {
        install_hook();
        let Outcome::Failed(failure) = catch(|| panic!("deliberate {}", 7)) else {
            panic!("no failure")
        };
        assert_eq!(failure.message, "handler panicked: deliberate 7");
        assert!(failure.backtrace[0].contains("panics.rs"), "{:?}", failure.backtrace);
    }
    #[tokio::test]
    async fn a_handler_that_panics_before_its_future_is_there_fails_the_job() {
        install_hook();
        let run = Caught::<dyn Future<Output = Outcome>>::start(|| panic!("at once"));
        let Outcome::Failed(failure) = run.await else { panic!("no failure") };
        assert_eq!(failure.message, "handler panicked: at once");
    }
}
