//! What a server has to recover from: it is killed, or many jobs become due at once.

use std::time::{Duration, Instant, SystemTime};

use super::raw_load::load;
use super::servers::Server;
use crate::distance::Distance;
use crate::measure::Latencies;
use crate::part::order::{RawOrder, RawWork};
use crate::processor::Usage;
use crate::report::{Counts, Run};
use crate::runner::load::per_second;

/// The time in which scheduled jobs are pushed, before the first of them is due.
const LEAD: Duration = Duration::from_secs(24);
/// The longest wait for jobs that are due.
const DUE_WITHIN: Duration = Duration::from_secs(90);
/// The longest time to push the scheduled jobs.
pub(super) const PUSH_WITHIN: Duration = Duration::from_secs(20);
/// The time between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Kills a server after it has been pushed to for a time, and measures from the start of its next
/// process until that listens. The server must hold every job that it has answered.
pub(super) fn restart(
    server: &mut Server,
    distance: &mut Distance,
    lasts: Duration,
) -> anyhow::Result<Run> {
    let queued = server.queued()?;
    let address = server.address.clone();
    let pushed = load(distance, None, RawOrder::new(address, RawWork::Push, lasts))?.report.stored;
    let ready = server.kill_and_start(distance)?;
    let mut run = timed(server, ready, queued + pushed);
    run.ready_us = Some(ready.as_secs_f64() * 1e6);
    run.counts = Counts { stored: queued + pushed, arrived: server.queued()?, ..run.counts };
    if run.counts.stored != run.counts.arrived {
        run.failures.push(format!(
            "{} jobs were queued before the server was killed, {} are after it",
            run.counts.stored, run.counts.arrived
        ));
    }
    Ok(run)
}

/// Pushes scheduled jobs, and measures from the time at which the first of them is due until all
/// of them are in their queue.
pub(super) fn due(server: &mut Server, distance: &Distance, jobs: u64) -> anyhow::Result<Run> {
    let queued = server.queued()?;
    let (due, pushed) = schedule(server, distance, jobs)?;
    std::thread::sleep(due.duration_since(SystemTime::now()).unwrap_or_default());
    let took = until_none_is_scheduled(server)?;
    let mut run = timed(server, took, pushed);
    let arrived = server.queued()?.saturating_sub(queued);
    run.counts = Counts { stored: pushed, arrived, ..run.counts };
    if arrived != pushed {
        run.failures.push(format!("{pushed} jobs were scheduled, {arrived} came into their queue"));
    }
    Ok(run)
}

/// Pushes jobs that become due within one second, later; returns the time at which the first of
/// them is due, and their number.
pub(super) fn schedule(
    server: &Server,
    distance: &Distance,
    jobs: u64,
) -> anyhow::Result<(SystemTime, u64)> {
    let due = SystemTime::now() + LEAD;
    let order = RawOrder {
        most: Some(jobs),
        due: Some(due),
        ..RawOrder::new(server.address.clone(), RawWork::PushBatch(1000), PUSH_WITHIN)
    };
    let pushed = load(distance, None, order)?.report.stored;
    anyhow::ensure!(SystemTime::now() < due, "jobs were due before all of them were pushed");
    Ok((due, pushed))
}

/// Waits until all scheduled jobs are in their queue; returns the time that this took.
pub(super) fn until_none_is_scheduled(server: &mut Server) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    while server.scheduled()? > 0 {
        anyhow::ensure!(begin.elapsed() < DUE_WITHIN, "jobs are not in their queue after 90 s");
        std::thread::sleep(LOOK);
    }
    Ok(begin.elapsed())
}

/// A run that took a time as a whole.
fn timed(server: &Server, took: Duration, jobs: u64) -> Run {
    let mut latencies = Latencies::default();
    latencies.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    let usage = Usage::now(&[("server", server.id())]);
    let seconds = took.as_secs_f64();
    Run {
        jobs,
        seconds,
        jobs_per_second: per_second(jobs, seconds),
        latency: latencies.summary(),
        resident_bytes: usage.resident.iter().map(|(name, of)| ((*name).into(), *of)).collect(),
        disk_bytes: server.disk_bytes(),
        ..Run::default()
    }
}
