//! A worker under measurement: its start, its answers, and the judgement of its runs.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::distance::Side;
use crate::part::order::{
    Attend, Event, Handlers, Order, Via, WorkerOrder, WorkerQuestion, WorkerReport,
};
use crate::process::Part;
use crate::report::{Counts, Run};
use crate::stack::{Stack, ready};

/// The longest time until a worker answers a question.
const ANSWERS_WITHIN: Duration = Duration::from_secs(150);
/// The longest time until a worker has run the jobs that it has fetched, after its queue was
/// paused.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);
/// The time between two questions to a worker.
const LOOK: Duration = Duration::from_millis(20);

/// Starts a worker and waits until it works with all its connections.
pub(super) fn start(
    stack: &Stack,
    via: Via,
    queue: &str,
    concurrency: usize,
) -> anyhow::Result<Part> {
    let worker = launch(stack, via, queue, concurrency, None, Handlers::Sleep)?;
    ready(&worker)?;
    // The handshakes of the last connection.
    std::thread::sleep(stack.round_trip.unwrap_or_default() * 3);
    Ok(worker)
}

/// Starts a worker, and waits for nothing.
pub(super) fn launch(
    stack: &Stack,
    via: Via,
    queue: &str,
    concurrency: usize,
    log: Option<&Path>,
    handlers: Handlers,
) -> anyhow::Result<Part> {
    let mut variables = stack.variables.clone();
    variables.insert("WORKER_QUEUES".into(), queue.into());
    variables.insert("WORKER_CONCURRENCY".into(), concurrency.to_string());
    let order = WorkerOrder {
        via: if via.is_baseline() { Via::Crate } else { Via::Worker },
        server: stack.server.clone(),
        queue: queue.into(),
        concurrency,
        variables,
        handlers,
        log: log.map(Into::into),
    };
    Part::start(&stack.distance, Side::Near, &Order::Worker(order))
}

/// Asks a worker about a span of time.
pub(super) fn ask(worker: &mut Part, from_us: u64, to_us: u64) -> anyhow::Result<WorkerReport> {
    worker.tell(&WorkerQuestion { from_us, to_us })?;
    match worker.next(ANSWERS_WITHIN)? {
        Event::Ran(report) => Ok(*report),
        other => worker.unexpected(&other),
    }
}

/// Calls `look` until it says that it has seen enough, or until the time to settle has run out.
pub(super) fn settled<T>(mut look: impl FnMut() -> anyhow::Result<(T, bool)>) -> anyhow::Result<T> {
    let give_up = Instant::now() + SETTLES_WITHIN;
    loop {
        let (found, is_enough) = look()?;
        if is_enough || Instant::now() > give_up {
            return Ok(found);
        }
        std::thread::sleep(LOOK);
    }
}

/// Waits until a worker has run this number of different jobs, and returns its answer about a span
/// of time.
pub(super) fn until_run(
    worker: &mut Part,
    (from_us, to_us): (u64, u64),
    jobs: u64,
) -> anyhow::Result<WorkerReport> {
    settled(|| {
        let ran = ask(worker, from_us, to_us)?;
        let is_enough = ran.distinct >= jobs;
        Ok((ran, is_enough))
    })
}

/// Pauses the queue, and waits until the worker has run all jobs that it had fetched.
pub(super) fn settle(
    stack: &mut Stack,
    worker: &mut Part,
    queue: &str,
    count: u64,
) -> anyhow::Result<WorkerReport> {
    stack.attend(&Attend::Pause { queue: queue.into() })?;
    settled(|| {
        let ran = ask(worker, 0, 0)?;
        let is_enough = ran.distinct + stack.queue_size(queue)? >= count;
        Ok((ran, is_enough))
    })
}

/// Notes the runs of a worker. Every stored job must have been run exactly once and acknowledged,
/// or be among the `left` jobs of the queue.
pub(super) fn note_runs(
    stack: &mut Stack,
    run: &mut Run,
    ran: &WorkerReport,
    stored: u64,
    left: u64,
) -> anyhow::Result<()> {
    let unacknowledged = stack.unacknowledged()?;
    judge_runs(run, ran, stored, left, unacknowledged);
    Ok(())
}

fn judge_runs(run: &mut Run, ran: &WorkerReport, stored: u64, left: u64, unacknowledged: u64) {
    let found = ran.distinct + left;
    run.counts = Counts { stored, arrived: ran.runs + left, distinct: Some(found), ..run.counts };
    if found < stored {
        run.failures.push(format!("{} jobs were lost", stored - found));
    }
    if found > stored + run.counts.unknown {
        let more = found - stored - run.counts.unknown;
        run.failures.push(format!("{more} jobs more than were stored"));
    }
    if unacknowledged > 0 {
        run.failures.push(format!("{unacknowledged} jobs were fetched and not acknowledged"));
    }
    if ran.runs > ran.distinct {
        run.failures.push(format!("{} jobs were run twice", ran.runs - ran.distinct));
    }
    if run.jobs == 0 {
        run.failures.push("no job was run within the measured time".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(runs: u64, distinct: u64, stored: u64, left: u64, held: u64) -> Vec<String> {
        let mut run = Run { jobs: 1, ..Run::default() };
        let ran = WorkerReport { runs, distinct, ..WorkerReport::default() };
        judge_runs(&mut run, &ran, stored, left, held);
        run.failures
    }

    #[test]
    fn every_stored_job_is_run_once_or_is_left_in_the_queue() {
        assert!(failures(7, 7, 10, 3, 0).is_empty());
        assert_eq!(failures(7, 7, 10, 2, 0), ["1 jobs were lost"]);
        assert_eq!(failures(7, 7, 10, 4, 0), ["1 jobs more than were stored"]);
        assert_eq!(failures(8, 7, 10, 3, 0), ["1 jobs were run twice"]);
        assert_eq!(failures(7, 7, 10, 3, 2), ["2 jobs were fetched and not acknowledged"]);
    }
}
