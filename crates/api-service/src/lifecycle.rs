//! How far the shutdown of the service has come, and the refusal of requests that arrive after it
//! has begun.

use tokio::sync::watch;

use crate::problem::{Code, Problem};

/// The phases of the service's life, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Requests are served.
    Serving,
    /// New requests are refused; requests in flight go on.
    ShuttingDown,
    /// The time for requests in flight is over.
    TimeIsUp,
}

/// The current phase, which tasks can wait on.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    phase: watch::Sender<Phase>,
}

impl Lifecycle {
    /// A service that serves.
    pub(crate) fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Serving) }
    }

    /// Goes on to a phase, and wakes the tasks that wait for it.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Refuses a request that arrives after the shutdown has begun.
    pub(crate) fn check_serving(&self) -> Result<(), Problem> {
        if *self.phase.borrow() == Phase::Serving { Ok(()) } else { Err(shutting_down().closing()) }
    }

    /// Resolves when the shutdown has begun. Cancel safe.
    pub(crate) async fn shutdown_begins(&self) {
        self.reaches(Phase::ShuttingDown).await;
    }

    /// Resolves when requests in flight have no time left. Cancel safe.
    pub(crate) async fn time_is_up(&self) {
        self.reaches(Phase::TimeIsUp).await;
    }

    async fn reaches(&self, phase: Phase) {
        let mut current = self.phase.subscribe();
        // The sender lives as long as `self`, so waiting can't fail.
        let _ = current.wait_for(|current| *current >= phase).await;
    }
}

/// The refusal of a request because the service shuts down.
pub(crate) fn shutting_down() -> Problem {
    Problem::new(Code::ShuttingDown, "this service is shutting down; nothing was enqueued")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn each_phase_includes_the_phases_before_it() {
        let lifecycle = Lifecycle::new();
        assert!(lifecycle.check_serving().is_ok());
        assert_eq!(lifecycle.shutdown_begins().now_or_never(), None);
        lifecycle.enter(Phase::ShuttingDown);
        assert!(lifecycle.check_serving().is_err());
        assert_eq!(lifecycle.shutdown_begins().now_or_never(), Some(()));
        assert_eq!(lifecycle.time_is_up().now_or_never(), None);
        lifecycle.enter(Phase::TimeIsUp);
        assert_eq!(lifecycle.shutdown_begins().now_or_never(), Some(()));
        assert_eq!(lifecycle.time_is_up().now_or_never(), Some(()));
    }
}
