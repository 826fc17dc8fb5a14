//! How the core waits for its next event. To park a thread and wake it takes tens of microseconds,
//! about as long as a near client takes to send its next command when it has the last answer. So
//! where the last event came as soon as that, the core looks for the next one for a moment before
//! it parks. Threads that want its processor meanwhile get it.

use std::num::NonZero;
use std::time::{Duration, Instant};

use flume::{Receiver, RecvTimeoutError};

/// How long the core looks. Where events come more slowly than this it parks at once, so that few
/// commands cost little of the processor.
const LOOK: Duration = Duration::from_micros(150);

/// Waits for events.
#[derive(Debug)]
pub(super) struct Waiting {
    /// There is another processor, on which the next event can be made meanwhile.
    may_look: bool,
    /// The last event that was waited for came within [`LOOK`].
    comes_soon: bool,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self::on(std::thread::available_parallelism().map_or(1, NonZero::get))
    }

    const fn on(processors: usize) -> Self {
        Self { may_look: processors > 1, comes_soon: false }
    }

    /// Waits for an event. `is_next`: nothing but events can give the core something to do.
    pub(super) fn next<T>(
        &mut self,
        events: &Receiver<T>,
        wait: Duration,
        is_next: bool,
    ) -> Result<T, RecvTimeoutError> {
        if wait.is_zero() || !events.is_empty() {
            return events.recv_timeout(wait);
        }
        let began = Instant::now();
        if is_next && self.looks() {
            while events.is_empty() && began.elapsed() < LOOK {
                std::thread::yield_now();
            }
        }
        let event = events.recv_timeout(wait.saturating_sub(began.elapsed()));
        self.note(event.is_ok().then(|| began.elapsed()));
        event
    }

    const fn looks(&self) -> bool {
        self.may_look && self.comes_soon
    }

    /// Notes how long an event was waited for; `None` where none came.
    fn note(&mut self, waited: Option<Duration>) {
        self.comes_soon = waited.is_some_and(|waited| waited < LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_looks_for_an_event_while_the_last_one_came_soon() {
        let mut waiting = Waiting::on(2);
        assert!(!waiting.looks(), "nothing came yet");
        let cases = [(Some(LOOK / 2), true), (None, false), (Some(LOOK / 2), true)];
        for (waited, looks) in cases.into_iter().chain([(Some(LOOK), false)]) {
            waiting.note(waited);
            assert_eq!(waiting.looks(), looks, "{waited:?}");
        }
        let mut alone = Waiting::on(1);
        alone.note(Some(LOOK / 2));
        assert!(!alone.looks(), "the only processor is needed to make the event");
    }

    #[test]
    fn an_event_is_got_and_the_end_is_told_whether_the_core_looks_or_not() {
        for comes_soon in [false, true] {
            let mut waiting = Waiting { may_look: true, comes_soon };
            let (sender, events) = flume::bounded(1);
            sender.send(1).unwrap();
            assert_eq!(waiting.next(&events, Duration::MAX, true), Ok(1));
            let timeout = Err(RecvTimeoutError::Timeout);
            assert_eq!(waiting.next(&events, Duration::ZERO, true), timeout);
            assert_eq!(waiting.next(&events, Duration::from_micros(1), true), timeout);
            waiting.comes_soon = comes_soon;
            drop(sender);
            let end = Err(RecvTimeoutError::Disconnected);
            assert_eq!(waiting.next(&events, Duration::from_secs(3600), true), end);
        }
    }
}
