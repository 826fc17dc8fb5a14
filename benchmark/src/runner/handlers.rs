//! Scenarios about handlers: some never end, or all use the processor.

use std::time::Duration;

use super::load::per_second;
use super::watch::note_link;
use super::worker;
use crate::part::clock::now_us;
use crate::part::order::{Attend, Handlers, Via};
use crate::process::Part;
use crate::report::Run;
use crate::scenario::Parameters;
use crate::stack::{Stack, ready};

/// A length that is longer than any measurement.
const FOR_EVER: Duration = Duration::from_secs(3600);
/// The time in which every slot has met a job that never ends, where there is no job timeout.
const HANGS_WITHIN: Duration = Duration::from_secs(3);

/// Jobs of 10 ms, of which every twentieth never ends. The outcome of these is not looked at.
pub(super) fn hanging(
    parameters: &Parameters,
    stack: &mut Stack,
    queue: &str,
    concurrency: usize,
) -> anyhow::Result<Run> {
    let mut takes = vec![Duration::from_millis(10); 19];
    takes.push(FOR_EVER);
    let seconds = (parameters.warm_up + parameters.duration).as_secs_f64();
    let count = (concurrency as f64 * 100.0 * seconds) as u64;
    stack.attend(&Attend::Fill { queue: queue.into(), count, takes })?;
    stack.distance.watch();
    let mut worker = worker::start(stack, Via::Worker, queue, concurrency)?;
    let warm_up = parameters.warm_up.max(HANGS_WITHIN);
    let mut run = measure(&mut worker, warm_up, parameters.duration)?;
    note_link(stack, &mut run);
    stack.end_worker(worker);
    stack.clear_away(queue)?;
    Ok(run)
}

/// Jobs that use the processor. The latency is the length of each run.
pub(super) fn busy(
    parameters: &Parameters,
    stack: &mut Stack,
    queue: &str,
    concurrency: usize,
    takes: Duration,
) -> anyhow::Result<Run> {
    let seconds = (parameters.warm_up + parameters.duration).as_secs_f64();
    let processors = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    let count = (2.0 * seconds * processors / takes.as_secs_f64().max(1e-6)) as u64
        + 2 * concurrency as u64;
    stack.attend(&Attend::Fill { queue: queue.into(), count, takes: vec![takes] })?;
    stack.distance.watch();
    let handlers = Handlers::UseProcessor;
    let mut worker = worker::launch(stack, Via::Worker, queue, concurrency, None, handlers)?;
    ready(&worker)?;
    let mut run = measure(&mut worker, parameters.warm_up, parameters.duration)?;
    let ran = worker::settle(stack, &mut worker, queue, count)?;
    run.held = Some(ran.held);
    note_link(stack, &mut run);
    let left = stack.queue_size(queue)?;
    worker::note_runs(stack, &mut run, &ran, count, left)?;
    stack.end_worker(worker);
    stack.clear_away(queue)?;
    Ok(run)
}

/// The runs that end in the measured time, after a warm-up.
fn measure(worker: &mut Part, warm_up: Duration, lasts: Duration) -> anyhow::Result<Run> {
    std::thread::sleep(warm_up);
    let from = now_us();
    std::thread::sleep(lasts);
    let to = now_us();
    let ran = worker::ask(worker, from, to)?;
    let mut run = Run {
        jobs: ran.counted,
        seconds: (to - from) as f64 / 1e6,
        latency: ran.took,
        ..Run::default()
    };
    run.jobs_per_second = per_second(run.jobs, run.seconds);
    Ok(run)
}
