//! Jobs that this worker has and will not end: handed over at the deadline of a shutdown, or given
//! back because they have waited too long.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::buffer::Buffer;
use crate::outcome::{Ending, Failure};
use crate::place::{Known, given_back, known};
use crate::report::Finished;
use crate::reports::Reports;
use crate::shared::Shared;

/// A job that has waited for a place for so long is given back: jobs take longer than they did, and
/// its reservation runs. A quarter of the shortest.
const STALE_AFTER: Duration = Duration::from_secs(15);

/// Has others run what is here and not done. Cancel safe: what has not been handed over is still
/// here.
pub(crate) async fn hand_over(shared: &Shared, reports: &Reports) {
    while shared.running.len() > 0 {
        let Some(permit) = reports.reserve().await else { return };
        let Some((fetched, ended)) = shared.running.take_any() else { break };
        let ending = ended.unwrap_or_else(|| {
            tracing::warn!(jid = %fetched.jid, "shutdown: the job did not finish in time and is failed");
            Ending::Failed(Failure::new("shutdown", "the worker was shut down before the job had finished"))
        });
        permit.send(Finished { fetched, ending, ended: Instant::now() });
    }
    give_back(shared, reports, |_| true).await;
}

/// Pushes jobs again that were not run, from the first on, as long as this says so. Returns how
/// many. Cancel safe, as [`hand_over`] is.
async fn give_back(shared: &Shared, reports: &Reports, more: impl Fn(&Buffer) -> bool) -> usize {
    let mut jobs = 0;
    while shared.buffer.len() > 0 && more(&shared.buffer) {
        let Some(permit) = reports.reserve().await else { break };
        let Some(buffered) = shared.buffer.take() else { break };
        shared.prefetch().given_back();
        jobs += 1;
        let Some((fetched, known)) = known(shared, &buffered) else { continue };
        let ending = match known {
            Known::Job(job) => given_back(shared, job),
            Known::Ended(ending) => ending,
        };
        permit.send(Finished { fetched, ending, ended: Instant::now() });
    }
    jobs
}

/// Gives back, for ever, what has waited for too long.
pub(crate) async fn give_back_stale(shared: Arc<Shared>, reports: Reports) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Some(before) = Instant::now().checked_sub(STALE_AFTER) else { continue };
        if !shared.buffer.is_older_than(before) {
            continue;
        }
        // Nothing more is fetched ahead until jobs end sooner than that.
        shared.prefetch().takes_at_least(STALE_AFTER);
        let jobs = give_back(&shared, &reports, |buffer| buffer.is_older_than(before)).await;
        tracing::warn!(jobs, "jobs waited too long for a place to run and are given back");
        shared.note(|_, _| ());
    }
}
