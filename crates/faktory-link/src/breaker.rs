//! The circuit breaker: after failures of the link one after another, nothing is tried for a while
//! but one probe at a time.
//!
//! Our own, because no widely used crate lets exactly one probe through and leaves the rest to be
//! refused at once; it is a counter and a point in time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::LinkError;

/// Connections whose loss is remembered; a pool has hardly more.
const CAUSES_MAX: usize = 100;

/// How a link is doing, as its breaker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Everything is tried.
    Closed,
    /// Nothing is tried.
    Open,
    /// A probe is under way.
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

/// The breaker of one link. Time comes in as an argument.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// Failures one after another that open it; 0: it never opens.
    failures_max: u32,
    open_for: Duration,
    inner: Mutex<Inner>,
    /// It has opened, or closed.
    changes: Notify,
}

#[derive(Debug)]
struct Inner {
    state: BreakerState,
    failures: u32,
    /// What failed since the last success: the commands that one connection takes along are one
    /// failure.
    causes: Vec<Arc<LinkError>>,
    /// When the next probe may go.
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

    /// Whether something may be tried.
    ///
    /// # Errors
    /// With the time until the next probe, where it is open.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Duration> {
        let inner = self.inner();
        match inner.state {
            BreakerState::Closed => Ok(()),
            BreakerState::Open | BreakerState::HalfOpen => {
                Err(inner.probe_at.saturating_duration_since(now))
            }
        }
    }

    /// True for one caller, when it is time to try whether the link works again; he must say how it
    /// went.
    pub(crate) fn may_probe(&self, now: Instant) -> bool {
        let mut inner = self.inner();
        if inner.state == BreakerState::Open && inner.probe_at <= now {
            inner.state = BreakerState::HalfOpen;
            return true;
        }
        false
    }

    /// A command was answered, whatever the answer.
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

    /// No connection could be made, or one was lost.
    pub(crate) fn failed(&self, cause: Option<&Arc<LinkError>>, now: Instant) {
        if self.failures_max == 0 {
            return;
        }
        let mut inner = self.inner();
        if let Some(cause) = cause {
            if inner.causes.iter().any(|known| Arc::ptr_eq(known, cause)) {
                return;
            }
            // Of more that failed in a row, the first are settled.
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
            tracing::warn!(failures, probe_in = ?self.open_for, "the circuit is open: nothing is sent to the work server for now");
        }
    }

    /// Resolves when it is open, at once where it is. Cancel safe.
    pub(crate) async fn until_open(&self) {
        self.until(|state| state != BreakerState::Closed).await;
    }

    /// Resolves when it is closed, at once where it is. Cancel safe.
    pub(crate) async fn until_closed(&self) {
        self.until(|state| state == BreakerState::Closed).await;
    }

    async fn until(&self, is_so: impl Fn(BreakerState) -> bool) {
        loop {
            // Registered before it is looked at, so that none is missed.
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

    /// How often it has opened.
    pub(crate) fn opened(&self) -> u64 {
        self.inner().opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_probe_through() {
        let breaker = Breaker::new(3, Duration::from_secs(5));
        let mut now = Instant::now();
        breaker.failed(None, now);
        breaker.failed(None, now);
        breaker.succeeded();
        breaker.failed(None, now);
        breaker.failed(None, now);
        assert_eq!(breaker.check(now), Ok(()), "a success begins the count anew");
        breaker.failed(None, now);
        assert_eq!(
            (breaker.state(), breaker.check(now)),
            (BreakerState::Open, Err(Duration::from_secs(5)))
        );
        assert!(!breaker.may_probe(now), "not yet");
        now += Duration::from_secs(5);
        assert!(breaker.check(now).is_err(), "only the probe may try");
        assert!(breaker.may_probe(now));
        assert!(!breaker.may_probe(now), "one at a time");
        breaker.failed(None, now);
        assert_eq!(
            breaker.check(now),
            Err(Duration::from_secs(5)),
            "a failed probe opens it again"
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
    fn a_connection_that_takes_many_commands_along_is_one_failure() {
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
            "two are two, however their commands are told"
        );
        breaker.failed(Some(&Arc::new(LinkError::ClosedHere)), now);
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn it_can_be_switched_off() {
        let (breaker, now) = (Breaker::new(0, Duration::from_secs(5)), Instant::now());
        for _ in 0..100 {
            breaker.failed(None, now);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
