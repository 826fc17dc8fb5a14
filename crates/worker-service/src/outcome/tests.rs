//! What becomes of an error, however it was wrapped.

use std::fmt;
use std::io;
use std::sync::Arc;

use anyhow::Context;

use super::*;

type Boxed = Box<dyn Error + Send + Sync>;

fn for_good() -> RunError {
    RunError::for_good("bad", "never")
}

/// An error with another one below.
#[derive(Debug, thiserror::Error)]
#[error("while resizing")]
struct Resizing<E: Error + 'static>(#[source] E);

/// An error with a boxed one below.
#[derive(Debug, thiserror::Error)]
#[error("while resizing")]
struct ResizingBoxed(#[source] Boxed);

/// An error with anyhow's below.
#[derive(Debug, thiserror::Error)]
#[error("while resizing")]
struct ResizingAny(#[source] anyhow::Error);

/// An error that shows itself as the one below.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Transparent(#[from] RunError);

/// A report as eyre has it: no error itself, and boxed it hides the error that it was made of.
struct Report(Boxed);

#[derive(Debug)]
struct Hidden(Boxed);

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Hidden {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl From<Report> for Boxed {
    fn from(report: Report) -> Self {
        Box::new(Hidden(report.0))
    }
}

fn outcome<E: Into<Boxed> + 'static>(error: E) -> Outcome {
    Err::<(), E>(error).into_outcome()
}

#[test]
fn a_failure_for_good_is_found_wherever_it_stands() {
    let boxed = || -> Boxed { Box::new(for_good()) };
    let any = || anyhow::Error::from(for_good());
    let question_mark = || -> Result<(), Boxed> { Ok(Err(any())?) };
    for (how, outcome) in [
        ("itself", outcome(for_good())),
        ("boxed", outcome(boxed())),
        ("in a box of its own type", outcome(Box::new(for_good()))),
        ("in an Arc", outcome(Arc::new(for_good()))),
        ("in an Arc of any error", outcome::<Arc<dyn Error + Send + Sync>>(Arc::new(for_good()))),
        ("anyhow", outcome(any())),
        ("anyhow's macro", outcome(anyhow::anyhow!(for_good()))),
        ("anyhow of a box", outcome(anyhow::Error::from_boxed(boxed()))),
        ("anyhow of an Arc", outcome(anyhow::Error::new(Arc::new(for_good())))),
        ("anyhow in a box", outcome(Boxed::from(any()))),
        ("anyhow by a question mark", question_mark().into_outcome()),
        ("below a context", outcome(any().context("resize"))),
        ("below two contexts", outcome(any().context("resize").context("picture"))),
        ("below a context, in a box", outcome(Boxed::from(any().context("resize")))),
        ("a context itself", outcome(anyhow::anyhow!("disk").context(for_good()))),
        (
            "a context below a context",
            outcome(anyhow::anyhow!("disk").context(for_good()).context("picture")),
        ),
        (
            "the context of a result",
            Err::<(), _>(io::Error::other("disk")).context(for_good()).into_outcome(),
        ),
        ("a source", outcome(Resizing(for_good()))),
        ("a source of a source", outcome(Resizing(Resizing(for_good())))),
        ("a boxed source", outcome(ResizingBoxed(boxed()))),
        ("a source of anyhow's", outcome(ResizingAny(any().context("picture")))),
        ("a source in anyhow", outcome(anyhow::Error::new(Resizing(for_good())).context("x"))),
        ("transparent", outcome(Transparent(for_good()))),
        ("in an io::Error", outcome(io::Error::other(for_good()))),
        ("in two io::Errors", outcome(io::Error::other(io::Error::other(for_good())))),
        ("anyhow in an io::Error", outcome(io::Error::other(any()))),
        ("a report", outcome(Report(boxed()))),
        ("by hand", Outcome::of_error(&Resizing(for_good()))),
        ("a result in a result", Ok::<_, Boxed>(Err::<(), _>(any())).into_outcome()),
    ] {
        let Outcome::FailedForGood(failure) = outcome else { panic!("{how}: {outcome:?}") };
        assert_eq!(failure.kind, "bad", "{how}");
        assert!(failure.message.ends_with("never"), "{how}: {}", failure.message);
    }
}

#[test]
fn errors_say_whether_they_are_for_good() {
    let retryable = || RunError::retryable("busy", "later");
    assert_eq!(outcome(retryable()), Outcome::Failed(Failure::new("busy", "later")));
    assert_eq!(
        outcome(anyhow::Error::from(retryable())),
        Outcome::Failed(Failure::new("busy", "later"))
    );
    assert_eq!(outcome(for_good()), Outcome::FailedForGood(Failure::new("bad", "never")));
    assert_eq!(outcome(io::Error::other("disk")), Outcome::Failed(Failure::new("error", "disk")));
    assert_eq!(outcome("words"), Outcome::Failed(Failure::new("error", "words")));
}

#[test]
fn what_stands_around_a_failure_is_reported_with_it() {
    let around = anyhow::Error::from(for_good()).context("resize").context("picture 7");
    let failure = Failure {
        kind: "bad".into(),
        message: "picture 7: never".into(),
        backtrace: vec!["caused by: resize".into(), "caused by: bad: never".into()],
    };
    assert_eq!(outcome(around), Outcome::FailedForGood(failure));
    let plain = anyhow::anyhow!("disk").context("resize");
    let failure = Failure {
        kind: "error".into(),
        message: "resize".into(),
        backtrace: vec!["caused by: disk".into()],
    };
    assert_eq!(outcome(plain), Outcome::Failed(failure));
}

#[test]
fn an_outcome_in_a_result_is_the_outcome() {
    let snooze = Outcome::Snooze(Duration::from_secs(5));
    assert_eq!(Ok::<_, anyhow::Error>(snooze.clone()).into_outcome(), snooze);
    assert_eq!(Ok::<_, anyhow::Error>(()).into_outcome(), Outcome::Done);
}
