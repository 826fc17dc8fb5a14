//! The scenario in which workers are told to end: under full load, or after the queue has run dry.

use std::path::Path;
use std::time::{Duration, Instant};

use super::watch::note_link;
use super::worker;
use crate::measure::Latencies;
use crate::part::order::{Attend, Handlers, Trickle, Via};
use crate::part::run_log::RunLog;
use crate::process::Part;
use crate::report::{Counts, Run};
use crate::stack::{Stack, ready};

/// The time in which a worker reaches its full rate.
const UP_TO_SPEED: Duration = Duration::from_millis(1500);
/// More jobs than a worker runs in that time.
const PILE: u64 = 20_000;
/// Enough jobs for the queue to run dry at full rate.
const SMALL_PILE: u64 = 5000;
/// The jobs that still come after the queue has run dry.
const TRICKLE: u64 = 200;
const TRICKLE_APART: Duration = Duration::from_millis(50);
/// From the moment at which the queue has run dry until the worker is told to end.
const DRY_FOR: Duration = Duration::from_secs(1);
/// The time that a process needs to be gone, beyond its shutdown timeout.
const GRACE: Duration = Duration::from_secs(2);

/// A worker is told to end, several times. The latency is from the signal to its end.
pub(super) fn endings(
    stack: &mut Stack,
    queue: &str,
    concurrency: usize,
    times: usize,
    dry: bool,
) -> anyhow::Result<Run> {
    let folder = tempfile::tempdir()?;
    stack.distance.watch();
    let mut run = Run::default();
    let mut latencies = Latencies::default();
    let begun = Instant::now();
    for number in 0..times {
        let log = folder.path().join(number.to_string());
        let failures_before = stack.sets()?.failures;
        let (mut worker, count) = if dry {
            until_dry(stack, queue, concurrency, &log)?
        } else {
            until_at_speed(stack, queue, concurrency, &log)?
        };
        let told = Instant::now();
        worker.terminate()?;
        if !worker.ended_within(stack.shutdown_timeout + GRACE) {
            let elapsed = told.elapsed();
            run.failures
                .push(format!("ending {number}: the worker had not ended after {elapsed:?}"));
        }
        latencies.record(u64::try_from(told.elapsed().as_micros())?);
        if dry {
            stack.attended(TRICKLE_APART * 3 * u32::try_from(TRICKLE)?)?;
        }
        note_ending(stack, queue, &mut run, &Ending { number, log, count, failures_before })?;
        stack.clear_away(queue)?;
    }
    run.seconds = begun.elapsed().as_secs_f64();
    run.latency = latencies.summary();
    note_link(stack, &mut run);
    Ok(run)
}

fn start(stack: &Stack, queue: &str, concurrency: usize, log: &Path) -> anyhow::Result<Part> {
    let worker =
        worker::launch(stack, Via::Worker, queue, concurrency, Some(log), Handlers::Sleep)?;
    ready(&worker)?;
    Ok(worker)
}

/// A worker at its full rate, and the number of jobs that were posted for it.
fn until_at_speed(
    stack: &mut Stack,
    queue: &str,
    concurrency: usize,
    log: &Path,
) -> anyhow::Result<(Part, u64)> {
    stack.attend(&Attend::Fill { queue: queue.into(), count: PILE, takes: Vec::new() })?;
    let worker = start(stack, queue, concurrency, log)?;
    std::thread::sleep(UP_TO_SPEED);
    Ok((worker, PILE))
}

/// A worker whose queue has run dry a second ago while a few jobs still come, and the number of
/// jobs that are posted for it.
fn until_dry(
    stack: &mut Stack,
    queue: &str,
    concurrency: usize,
    log: &Path,
) -> anyhow::Result<(Part, u64)> {
    stack.attend(&Attend::Fill { queue: queue.into(), count: SMALL_PILE, takes: Vec::new() })?;
    let worker = start(stack, queue, concurrency, log)?;
    while stack.queue_size(queue)? > 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    stack.begin_to_attend(&Attend::Trickle(Trickle {
        queue: queue.into(),
        first: SMALL_PILE,
        count: TRICKLE,
        apart: TRICKLE_APART,
        takes: Vec::new(),
        retries: Vec::new(),
    }))?;
    std::thread::sleep(DRY_FOR);
    Ok((worker, SMALL_PILE + TRICKLE))
}

/// One ending, as it is judged.
struct Ending {
    number: usize,
    log: std::path::PathBuf,
    /// The number of posted jobs.
    count: u64,
    /// The server's count of failures before the worker's start.
    failures_before: u64,
}

/// Every job must have run exactly once, be left in the queue, or be requeued (scheduled); nothing
/// else may be left.
fn note_ending(
    stack: &mut Stack,
    queue: &str,
    run: &mut Run,
    ending: &Ending,
) -> anyhow::Result<()> {
    let Ending { number, log, count, failures_before } = ending;
    let (sets, left, jobs) = (stack.sets()?, stack.queue_size(queue)?, RunLog::read(log)?);
    let distinct = jobs.len() as u64;
    let runs: u64 = jobs.values().map(|times| u64::from(times.begun)).sum();
    let found = distinct + left + sets.scheduled;
    for (what, wrong) in [
        ("jobs stayed reserved", sets.working),
        ("jobs are to be retried", sets.retries),
        ("jobs are dead", sets.dead),
        ("failures were counted", sets.failures - failures_before),
        ("jobs were lost", count.saturating_sub(found)),
        ("jobs were doubled", found.saturating_sub(*count)),
        ("jobs were run twice", runs - distinct),
    ] {
        if wrong > 0 {
            run.failures.push(format!("ending {number}: {wrong} {what}"));
        }
    }
    run.jobs += distinct;
    run.counts = Counts {
        stored: run.counts.stored + count,
        arrived: run.counts.arrived + runs + left + sets.scheduled,
        ..run.counts
    };
    if sets.scheduled > 0 {
        run.given_back = Some(run.given_back.unwrap_or(0) + sets.scheduled);
    }
    Ok(())
}
