//! The circuit breaker: after several failures of the link one after another, new pushes are
//! refused for a while, and one probe at a time is sent.
//!
//! This breaker is our own, because no widely used crate lets exactly one probe through and refuses
//! everything else at once. It needs little more than a counter and a point in time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::LinkError;

/// Lost connections that are remembered; a pool has hardly more connections.
const CAUSES_MAX: usize = 100;

/// The state of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// The link works: pushes are sent.
    Closed,
    /// The link has failed: new pushes are refused.
    Open,
    /// A probe is in flight; new pushes are still refused.
    HalfOpen,
}

impl BreakerState {
    /// The state's name: `closed`, `open` or `half_open`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// The circuit breaker of one link. Time comes in as an argument.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// Failures one after another that open the circuit; with 0 it never opens.
    failures_max: u32,
    open_for: Duration,
    inner: Mutex<Inner>,
    /// Notified when the circuit has opened or closed.
    changes: Notify,
}

#[derive(Debug)]
struct Inner {
    state: BreakerState,
    failures: u32,
    /// The causes of the failures since the last success. All commands that are lost with one
    /// connection have the same cause, and count as one failure.
    causes: Vec<Arc<LinkError>>,
    /// The time from which on the next probe may be sent.
    probe_at: Instant,
    opened: u64,
}

impl Breaker {
    pub(crate) fn new(failures_max: u32, open_for: Duration) -> Self {
        let inner = Inner {
            state: BreakerState::Closed,
            failures: 0,
            causes: Vec::new(),
            probe_at: Instant::now(),
            opened: 0,
        };
        Self { failures_max, open_for, inner: Mutex::new(inner), changes: Notify::new() }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a command may be sent.
    ///
    /// # Errors
    /// With the time until the next probe, where the circuit is not closed.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Duration> {
        let inner = self.inner();
        match inner.state {
            BreakerState::Closed => Ok(()),
            BreakerState::Open | BreakerState::HalfOpen => {
                Err(inner.probe_at.saturating_duration_since(now))
            }
        }
    }

    /// True for one caller, when the next probe is due. That caller must send a probe and report
    /// its result.
    pub(crate) fn may_probe(&self, now: Instant) -> bool {
        let mut inner = self.inner();
        if inner.state == BreakerState::Open && inner.probe_at <= now {
            inner.state = BreakerState::HalfOpen;
            return true;
        }
        false
    }

    /// Reports that a command was answered, whatever the answer.
    pub(crate) fn succeeded(&self) {
        let mut inner = self.inner();
        inner.failures = 0;
        inner.causes.clear();
        if inner.state != BreakerState::Closed {
            inner.state = BreakerState::Closed;
            drop(inner);
            self.changes.notify_waiters();
            tracing::info!("the circuit is closed: the work server answers");
        }
    }

    /// Reports that no connection could be made, or that one was lost.
    pub(crate) fn failed(&self, cause: Option<&Arc<LinkError>>, now: Instant) {
        if self.failures_max == 0 {
            return;
        }
        let mut inner = self.inner();
        if let Some(cause) = cause {
            if inner.causes.iter().any(|known| Arc::ptr_eq(known, cause)) {
                return;
            }
            // The oldest cause is forgotten: hardly a command still fails for it.
            if inner.causes.len() >= CAUSES_MAX {
                inner.causes.remove(0);
            }
            inner.causes.push(Arc::clone(cause));
        }
        inner.failures = inner.failures.saturating_add(1);
        let opens = match inner.state {
            BreakerState::Closed => inner.failures >= self.failures_max,
            BreakerState::HalfOpen => true,
            BreakerState::Open => false,
        };
        if !opens {
            return;
        }
        let is_new = inner.state == BreakerState::Closed;
        inner.state = BreakerState::Open;
        inner.probe_at = now + self.open_for;
        inner.opened += u64::from(is_new);
        let failures = inner.failures;
        drop(inner);
        self.changes.notify_waiters();
        if is_new {
            let probe_in = self.open_for;
            tracing::warn!(
                failures,
                ?probe_in,
                "the circuit is open: nothing is sent to the work server for now"
            );
        }
    }

    /// Resolves when the circuit is not closed, at once where that is so. Cancel safe.
    pub(crate) async fn until_open(&self) {
        self.until(|state| state != BreakerState::Closed).await;
    }

    /// Resolves when the circuit is closed, at once where that is so. Cancel safe.
    pub(crate) async fn until_closed(&self) {
        self.until(|state| state == BreakerState::Closed).await;
    }

    async fn until(&self, is_so: impl Fn(BreakerState) -> bool) {
        loop {
            // Registered before the state is looked at, so that no change is missed.
            let mut changes = std::pin::pin!(self.changes.notified());
            changes.as_mut().enable();
            if is_so(self.state()) {
                return;
            }
            changes.await;
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.inner().state
    }

    /// How often the circuit has opened.
    pub(crate) fn opened(&self) -> u64 {
        self.inner().opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_circuit_opens_after_failures_in_a_row_and_one_probe_is_let_through() {
        let breaker = Breaker::new(3, Duration::from_secs(5));
        let mut now = Instant::now();
        breaker.failed(None, now);
        breaker.failed(None, now);
        breaker.succeeded();
        breaker.failed(None, now);
        breaker.failed(None, now);
        assert_eq!(breaker.check(now), Ok(()), "a success resets the count");
        breaker.failed(None, now);
        assert_eq!(
            (breaker.state(), breaker.check(now)),
            (BreakerState::Open, Err(Duration::from_secs(5)))
        );
        assert!(!breaker.may_probe(now), "the probe is not due yet");
        now += Duration::from_secs(5);
        assert!(breaker.check(now).is_err(), "only the probe may be sent");
        assert!(breaker.may_probe(now));
        assert!(!breaker.may_probe(now), "one at a time");
        breaker.failed(None, now);
        assert_eq!(
            breaker.check(now),
            Err(Duration::from_secs(5)),
            "a failed probe opens the circuit again"
        );
        now += Duration::from_secs(5);
        assert!(breaker.may_probe(now));
        breaker.succeeded();
        assert_eq!(
            (breaker.state(), breaker.check(now), breaker.opened()),
            (BreakerState::Closed, Ok(()), 1)
        );
    }

    #[test]
    fn many_commands_lost_with_one_connection_count_as_one_failure() {
        let (breaker, now) = (Breaker::new(2, Duration::from_secs(5)), Instant::now());
        let cause = Arc::new(LinkError::ClosedHere);
        for _ in 0..100 {
            breaker.failed(Some(&cause), now);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        let (breaker, another) =
            (Breaker::new(3, Duration::from_secs(5)), Arc::new(LinkError::ClosedHere));
        for _ in 0..100 {
            breaker.failed(Some(&cause), now);
            breaker.failed(Some(&another), now);
        }
        assert_eq!(
            breaker.state(),
            BreakerState::Closed,
            "two lost connections are two failures, in whatever order their commands fail"
        );
        breaker.failed(Some(&Arc::new(LinkError::ClosedHere)), now);
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn with_a_limit_of_zero_failures_the_circuit_never_opens() {
        let (breaker, now) = (Breaker::new(0, Duration::from_secs(5)), Instant::now());
        for _ in 0..100 {
            breaker.failed(None, now);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
