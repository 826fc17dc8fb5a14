//! The handler of the benchmark's jobs: it takes as long as the job says, and notes the run.

use std::sync::Arc;
use std::time::Duration;

use faktory_wire::Timestamp;

use super::runs::{Run, Runs};
use crate::part::clock::{micros, now_us};
use crate::part::job::ASKS_FOR_WAIT;
use crate::part::order::Handlers;
use crate::part::run_log::RunLog;

/// A handler, with the places where it notes its runs.
pub(super) struct Handler {
    runs: Arc<Runs>,
    log: Option<RunLog>,
    handlers: Handlers,
}

impl Handler {
    pub(super) const fn new(runs: Arc<Runs>, log: Option<RunLog>, handlers: Handlers) -> Self {
        Self { runs, log, handlers }
    }

    /// Runs a job. Its time of enqueueing is read only where the job asks for its wait.
    pub(super) async fn run<'a>(
        &self,
        args: &str,
        enqueued_at: impl FnOnce() -> Option<&'a str>,
    ) -> Result<(), String> {
        let begin_us = now_us();
        // Faktory turns numbers into float64.
        let [number, posted_us, takes_us] = serde_json::from_str::<[f64; 3]>(args)
            .map_err(|error| error.to_string())?
            .map(|arg| arg as u64);
        self.log.as_ref().inspect(|log| log.begun(number));
        let waited = |since| micros(Timestamp::now().since(since));
        let asks = || enqueued_at().and_then(|text| Timestamp::parse(text).ok()).map(waited);
        let waited_us = if posted_us == ASKS_FOR_WAIT { asks() } else { None };
        let takes = Duration::from_micros(takes_us);
        match self.handlers {
            Handlers::Sleep if takes.is_zero() => {}
            Handlers::Sleep => tokio::time::sleep(takes).await,
            Handlers::UseProcessor => tokio::task::spawn_blocking(move || use_processor(takes))
                .await
                .map_err(|error| error.to_string())?,
        }
        self.log.as_ref().inspect(|log| log.ended(number));
        self.runs.note(Run { number, posted_us, begin_us, end_us: now_us(), waited_us });
        Ok(())
    }
}

/// Uses this much processor time, however long it takes to get that time.
fn use_processor(time: Duration) {
    let used = || {
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)
            .map(Duration::from)
            .unwrap_or(Duration::MAX)
    };
    let end = used().saturating_add(time);
    while used() < end {
        std::hint::spin_loop();
    }
}
