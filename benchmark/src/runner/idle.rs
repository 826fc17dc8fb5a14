//! Scenarios in which workers have nothing to do, and jobs come: one at a time, or all at once.

use std::time::{Duration, Instant};

use super::load::per_second;
use super::watch::note_link;
use super::worker;
use crate::part::order::{Attend, Trickle, Via, WorkerReport};
use crate::process::Part;
use crate::report::Run;
use crate::scenario::Parameters;
use crate::stack::Stack;

/// Jobs come one at a time to an idle worker. The latency is from the server's queue to the
/// handler.
pub(super) fn idle(
    parameters: &Parameters,
    stack: &mut Stack,
    queue: &str,
    concurrency: usize,
    jobs: u64,
) -> anyhow::Result<Run> {
    stack.distance.watch();
    let mut worker = worker::start(stack, Via::Worker, queue, concurrency)?;
    std::thread::sleep(parameters.warm_up);
    let begun = Instant::now();
    let apart = parameters.duration.div_f64(jobs.max(1) as f64);
    stack.attend(&Attend::Trickle(Trickle {
        queue: queue.into(),
        first: 0,
        count: jobs,
        apart,
        takes: Vec::new(),
        retries: Vec::new(),
    }))?;
    let ran = worker::until_run(&mut worker, (0, 0), jobs)?;
    let mut run = Run {
        jobs: ran.distinct,
        seconds: begun.elapsed().as_secs_f64(),
        latency: ran.waited.clone(),
        ..Run::default()
    };
    run.jobs_per_second = per_second(run.jobs, run.seconds);
    note_link(stack, &mut run);
    worker::note_runs(stack, &mut run, &ran, jobs, 0)?;
    stack.end_worker(worker);
    stack.clear_away(queue)?;
    Ok(run)
}

/// Several idle workers share jobs that are posted all at once.
pub(super) fn sharing(
    parameters: &Parameters,
    stack: &mut Stack,
    queue: &str,
    workers: usize,
    concurrency: usize,
    jobs: u64,
    takes: Duration,
) -> anyhow::Result<Run> {
    stack.distance.watch();
    let mut started = (0..workers)
        .map(|_| worker::start(stack, Via::Worker, queue, concurrency))
        .collect::<anyhow::Result<Vec<Part>>>()?;
    std::thread::sleep(parameters.warm_up);
    let begun = Instant::now();
    stack.attend(&Attend::Fill { queue: queue.into(), count: jobs, takes: vec![takes] })?;
    let each = worker::settled(|| {
        let each = started
            .iter_mut()
            .map(|worker| worker::ask(worker, 0, 0))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let is_enough = each.iter().map(|ran| ran.runs).sum::<u64>() >= jobs;
        Ok((each, is_enough))
    })?;
    let ran = WorkerReport {
        runs: each.iter().map(|ran| ran.runs).sum(),
        distinct: each.iter().map(|ran| ran.distinct).sum(),
        ..WorkerReport::default()
    };
    let mut run = Run { jobs: ran.runs, seconds: begun.elapsed().as_secs_f64(), ..Run::default() };
    run.jobs_per_second = per_second(run.jobs, run.seconds);
    run.least_share =
        each.iter().map(|ran| ran.runs).min().map(|least| least as f64 / jobs.max(1) as f64);
    note_link(stack, &mut run);
    worker::note_runs(stack, &mut run, &ran, jobs, 0)?;
    started.into_iter().for_each(|worker| stack.end_worker(worker));
    stack.clear_away(queue)?;
    Ok(run)
}
