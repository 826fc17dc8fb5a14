//! Scenarios in which a worker has enough to do: jobs from a full queue, or jobs that are posted
//! at a rate.

use std::time::{Duration, Instant};

use super::load::{load, load_order, per_second, run_all_stored};
use super::watch::{Watch, note_link};
use super::worker;
use crate::part::clock::now_us;
use crate::part::order::{Attend, Attended, Shape, Via};
use crate::report::Run;
use crate::scenario::{Mix, Pace, Parameters};
use crate::stack::Stack;

/// More no-op jobs a second than any worker runs on the machines of today.
const WORK_RATE_MAX: f64 = 25_000.0;
/// The longest warm-up with long jobs: ten times a job's length, and no more than this.
const LONG_WARM_UP: Duration = Duration::from_secs(10);
/// The length from which on jobs are slow.
const SLOW: Duration = Duration::from_millis(500);
/// The time between two looks at the number of reserved jobs.
const LOOK_AT_RESERVED: Duration = Duration::from_millis(20);

/// A number of jobs with which the queue does not run dry, and no more.
fn jobs_to_fill(
    parameters: &Parameters,
    stack: &Stack,
    via: Via,
    concurrency: usize,
    mix: Mix,
) -> u64 {
    let takes = parameters.takes(mix);
    let mean = takes.iter().sum::<Duration>().as_secs_f64() / takes.len().max(1) as f64;
    // The crate waits for at least two round trips for each job.
    let round_trips = if via.is_baseline() {
        2.0 * stack.round_trip.unwrap_or_default().as_secs_f64()
    } else {
        0.0
    };
    let rate = (concurrency as f64 / (mean + round_trips).max(1e-6)).min(WORK_RATE_MAX);
    // The crate makes its connections one after the other, and runs jobs meanwhile.
    let connecting = 2.0 * round_trips * concurrency as f64;
    let seconds = (warm_up(parameters, mix) + parameters.duration).as_secs_f64() + 1.0 + connecting;
    (rate * seconds * 1.2) as u64 + 4 * concurrency as u64
}

/// The warm-up. Long jobs that began together need some time until they no longer end together.
fn warm_up(parameters: &Parameters, mix: Mix) -> Duration {
    let longest = parameters.takes(mix).into_iter().max().unwrap_or_default();
    parameters.warm_up.max((longest * 10).min(LONG_WARM_UP))
}

/// Counts the work server's reserved jobs again and again until a time; returns the largest number.
fn watch_reserved(stack: &mut Stack, until: Instant) -> anyhow::Result<u64> {
    let mut most = 0;
    while Instant::now() < until {
        if let Attended::Size(working) = stack.attend(&Attend::Working)? {
            most = most.max(working);
        }
        std::thread::sleep(LOOK_AT_RESERVED.min(until.saturating_duration_since(Instant::now())));
    }
    Ok(most)
}

/// A worker runs jobs that lie in its queue.
pub(super) fn work(
    parameters: &Parameters,
    stack: &mut Stack,
    via: Via,
    queue: &str,
    concurrency: usize,
    mix: Mix,
) -> anyhow::Result<Run> {
    let count = jobs_to_fill(parameters, stack, via, concurrency, mix);
    stack.attend(&Attend::Fill { queue: queue.into(), count, takes: parameters.takes(mix) })?;
    stack.distance.watch();
    let mut worker = worker::start(stack, via, queue, concurrency)?;
    // INFO costs the server something, which does not matter where jobs are long and few.
    let is_slow = parameters.takes(mix).iter().all(|time| *time >= SLOW);
    let mut reserved = 0;
    let mut wait = |stack: &mut Stack, time: Duration| -> anyhow::Result<()> {
        if is_slow {
            reserved = reserved.max(watch_reserved(stack, Instant::now() + time)?);
        } else {
            std::thread::sleep(time);
        }
        Ok(())
    };
    wait(stack, warm_up(parameters, mix))?;
    let watch = Watch::begin(stack, via, &[("worker", worker.id())]);
    let from = now_us();
    wait(stack, parameters.duration)?;
    let to = now_us();
    let after = watch.end();
    let mut run = Run { reserved: is_slow.then_some(reserved), ..Run::default() };
    note_link(stack, &mut run);
    let counted = worker::ask(&mut worker, from, to)?;
    let ran = worker::settle(stack, &mut worker, queue, count)?;
    run.seconds = (to - from) as f64 / 1e6;
    run.jobs = counted.counted;
    run.jobs_per_second = per_second(run.jobs, run.seconds);
    // The jobs that ran at the end of the window have ended by now; their time within it counts.
    let whole = worker::ask(&mut worker, from, to)?;
    run.held = Some(whole.held);
    run.handler_share = Some(whole.handler_seconds / (run.seconds * concurrency as f64));
    watch.note(&after, &mut run);
    let size = stack.queue_size(queue)?;
    worker::note_runs(stack, &mut run, &ran, count, size)?;
    if size == 0 && ran.last_end_us < to {
        run.failures.push("the queue ran dry in the measured time".into());
    }
    stack.end_worker(worker);
    stack.clear_away(queue)?;
    Ok(run)
}

/// Jobs are posted at a rate and run by a worker. The latency is that of the job, not of its post.
pub(super) fn end_to_end(
    parameters: &Parameters,
    stack: &mut Stack,
    via: Via,
    queue: &str,
    rate: f64,
    concurrency: usize,
) -> anyhow::Result<Run> {
    stack.distance.watch();
    let mut worker = worker::start(stack, via, queue, concurrency)?;
    let shape = Shape::Timed { takes: Duration::ZERO };
    let order = load_order(parameters, stack, via, queue, shape, 1, Pace::PerSecond(rate));
    let loaded = load(stack, order, &[("worker", worker.id())])?;
    let stored = loaded.report.stored;
    let ran = worker::until_run(&mut worker, (loaded.began_us, u64::MAX), stored)?;
    let mut run = run_all_stored(&loaded.report);
    run.jobs = ran.counted;
    run.jobs_per_second = per_second(run.jobs, loaded.report.seconds);
    run.latency = ran.latency.clone();
    loaded.note_use(stack, &mut run);
    let left = stack.queue_size(queue)?;
    worker::note_runs(stack, &mut run, &ran, stored, left)?;
    stack.end_worker(worker);
    stack.clear_away(queue)?;
    Ok(run)
}
