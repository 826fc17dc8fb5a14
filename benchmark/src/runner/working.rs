//! Jobs are run.

use std::time::{Duration, Instant};

use super::PATIENCE;
use super::posting::{load, load_order, loaded_run, per_second};
use super::watch::{Watch, note_link};
use crate::distance::Side;
use crate::measure::Latency;
use crate::part::clock::now_us;
use crate::part::order::{Attend, Event, Order, Shape, Via, WorkerOrder, WorkerQuestion, WorkerReport};
use crate::process::Part;
use crate::report::{Counts, Run};
use crate::scenario::{Mix, Pace, Parameters};
use crate::stack::{Stack, ready};

/// More no-op jobs a second than any worker of today runs here.
const WORK_RATE_MAX: f64 = 15_000.0;
/// The longest that a worker may take to run what is on its way when its queue has been paused.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// Starts a worker and waits until it works with all its connections.
fn start_worker(stack: &Stack, via: Via, queue: &str, concurrency: usize) -> anyhow::Result<Part> {
    let via = if via.is_baseline() { Via::Crate } else { Via::Worker };
    let (server, connections) = (stack.server.clone(), stack.connections);
    let order = Order::Worker(WorkerOrder { via, server, connections, queue: queue.into(), concurrency });
    let worker = Part::start(&stack.distance, Side::Near, &order)?;
    ready(&worker)?;
    // The last connection's own handshakes.
    std::thread::sleep(stack.round_trip.unwrap_or_default() * 3);
    Ok(worker)
}

fn ask(worker: &mut Part, from_us: u64, to_us: u64) -> anyhow::Result<WorkerReport> {
    worker.tell(&WorkerQuestion { from_us, to_us })?;
    match worker.next(PATIENCE)? {
        Event::Ran(report) => Ok(*report),
        other => worker.unexpected(&other),
    }
}

/// So many jobs that the queue does not run dry, and no more.
fn jobs_to_fill(parameters: &Parameters, stack: &Stack, via: Via, concurrency: usize, mix: Mix) -> u64 {
    let takes = parameters.takes(mix);
    let mean = takes.iter().sum::<Duration>().as_secs_f64() / takes.len().max(1) as f64;
    // The crate waits for two round trips a job at the least.
    let round_trips = if via.is_baseline() { 2.0 * stack.round_trip.unwrap_or_default().as_secs_f64() } else { 0.0 };
    let rate = (concurrency as f64 / (mean + round_trips).max(1e-6)).min(WORK_RATE_MAX);
    // And makes its connections one after the other, while it runs jobs already.
    let connecting = 2.0 * round_trips * concurrency as f64;
    let seconds = (parameters.warm_up + parameters.duration).as_secs_f64() + 1.0 + connecting;
    (rate * seconds * 1.2) as u64 + 4 * concurrency as u64
}

pub(super) fn work(parameters: &Parameters, stack: &mut Stack, via: Via, queue: &str, concurrency: usize, mix: Mix) -> anyhow::Result<Run> {
    let count = jobs_to_fill(parameters, stack, via, concurrency, mix);
    stack.attend(&Attend::Fill { queue: queue.into(), count, takes: parameters.takes(mix) })?;
    stack.distance.watch();
    let mut worker = start_worker(stack, via, queue, concurrency)?;
    std::thread::sleep(parameters.warm_up);
    let watch = Watch::begin(stack, via, &[("worker", worker.id())]);
    let from = now_us();
    std::thread::sleep(parameters.duration);
    let to = now_us();
    let after = watch.end();
    let mut run = Run::default();
    note_link(stack, &mut run);
    let counted = ask(&mut worker, from, to)?;
    let ran = settle(stack, &mut worker, queue, count)?;
    run.seconds = (to - from) as f64 / 1e6;
    run.jobs = counted.counted;
    run.jobs_per_second = per_second(run.jobs, run.seconds);
    // What was running at the end of the window has ended by now, and its part within it counts.
    let whole = ask(&mut worker, from, to)?;
    run.handler_share = Some(whole.handler_seconds / (run.seconds * concurrency as f64));
    watch.note(&after, &mut run);
    let size = stack.queue_size(queue)?;
    note_runs(stack, &mut run, &ran, count, size)?;
    if size == 0 && ran.last_end_us < to {
        run.failures.push("the queue ran dry while it was measured".into());
    }
    stack.end_worker(worker);
    stack.clear_away(queue)?;
    Ok(run)
}

/// Stops the flow of jobs and waits until what was on its way has been run.
fn settle(stack: &mut Stack, worker: &mut Part, queue: &str, count: u64) -> anyhow::Result<WorkerReport> {
    stack.attend(&Attend::Pause { queue: queue.into() })?;
    let give_up = Instant::now() + SETTLES_WITHIN;
    loop {
        let ran = ask(worker, 0, 0)?;
        if ran.distinct + stack.queue_size(queue)? >= count || Instant::now() > give_up {
            return Ok(ran);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every job that was stored must have been run, once, and acknowledged; or be among those left in the queue.
fn note_runs(stack: &mut Stack, run: &mut Run, ran: &WorkerReport, stored: u64, left: u64) -> anyhow::Result<()> {
    run.counts = Counts { stored, arrived: ran.runs + left, distinct: Some(ran.distinct + left), ..run.counts };
    if ran.distinct + left < stored {
        run.failures.push(format!("{} jobs were lost", stored - ran.distinct - left));
    }
    if ran.distinct + left > stored + run.counts.unknown {
        run.failures.push(format!("{} jobs more than were stored", ran.distinct + left - stored - run.counts.unknown));
    }
    let unacknowledged = stack.unacknowledged()?;
    if unacknowledged > 0 {
        run.failures.push(format!("{unacknowledged} jobs were fetched and not acknowledged"));
    }
    if ran.runs > ran.distinct {
        run.failures.push(format!("{} jobs were run twice", ran.runs - ran.distinct));
    }
    if run.jobs == 0 {
        run.failures.push("no job was run within what is measured".into());
    }
    Ok(())
}

pub(super) fn end_to_end(
    parameters: &Parameters,
    stack: &mut Stack,
    via: Via,
    queue: &str,
    rate: f64,
    concurrency: usize,
) -> anyhow::Result<Run> {
    stack.distance.watch();
    let mut worker = start_worker(stack, via, queue, concurrency)?;
    let shape = Shape::Timed { takes: Duration::ZERO };
    let order = load_order(parameters, stack, via, queue, shape, 1, Pace::PerSecond(rate));
    let (loaded, watch, after, began) = load(stack, order, &[("worker", worker.id())])?;
    let give_up = Instant::now() + SETTLES_WITHIN;
    let ran = loop {
        let ran = ask(&mut worker, began, u64::MAX)?;
        if ran.distinct >= loaded.stored || Instant::now() > give_up {
            break ran;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut run = loaded_run(&loaded);
    note_link(stack, &mut run);
    run.jobs = ran.counted;
    run.jobs_per_second = per_second(run.jobs, loaded.seconds);
    // Of the job, not of its post.
    run.latency = if ran.latency.count > 0 { ran.latency.clone() } else { Latency::default() };
    watch.note(&after, &mut run);
    let counts = run.counts;
    let left = stack.queue_size(queue)?;
    note_runs(stack, &mut run, &ran, counts.stored, left)?;
    stack.end_worker(worker);
    stack.clear_away(queue)?;
    Ok(run)
}
