//! Jobs are run.

use std::path::Path;
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::posting::{load, load_order, loaded_run, per_second};
use super::watch::{Watch, note_link};
use crate::distance::Side;
use crate::measure::Latency;
use crate::part::clock::now_us;
use crate::part::order::{
    Attend, Attended, BIN_US, Event, Handlers, Order, Shape, Trickle, Via, WorkerOrder,
    WorkerQuestion, WorkerReport,
};
use crate::process::Part;
use crate::report::{Counts, Run, Timeline};
use crate::scenario::{Mix, Pace, Parameters};
use crate::stack::{Stack, ready};

/// More no-op jobs a second than any worker of today runs here.
const WORK_RATE_MAX: f64 = 25_000.0;
/// The longest that a worker may take to run what is on its way when its queue has been paused.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);
/// Ten rounds of long jobs, and no more than this, come before what counts.
const LONG_WARM_UP: Duration = Duration::from_secs(10);
/// Jobs from this length on are slow.
const SLOW: Duration = Duration::from_millis(500);
/// How often it is looked at how much is reserved.
const LOOK_AT_RESERVED: Duration = Duration::from_millis(20);

/// Starts a worker and waits until it works with all its connections.
fn start_worker(stack: &Stack, via: Via, queue: &str, concurrency: usize) -> anyhow::Result<Part> {
    let worker = launch_worker(stack, via, queue, concurrency, None, Handlers::Sleep)?;
    ready(&worker)?;
    // The last connection's own handshakes.
    std::thread::sleep(stack.round_trip.unwrap_or_default() * 3);
    Ok(worker)
}

/// Starts a worker, and waits for nothing.
pub(super) fn launch_worker(
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

/// Waits until so many different jobs have been run, and asks about a span then; gives up after a
/// while.
fn until_run(
    worker: &mut Part,
    from_us: u64,
    to_us: u64,
    jobs: u64,
) -> anyhow::Result<WorkerReport> {
    let give_up = Instant::now() + SETTLES_WITHIN;
    loop {
        let ran = ask(worker, from_us, to_us)?;
        if ran.distinct >= jobs || Instant::now() > give_up {
            return Ok(ran);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ask(worker: &mut Part, from_us: u64, to_us: u64) -> anyhow::Result<WorkerReport> {
    worker.tell(&WorkerQuestion { from_us, to_us })?;
    match worker.next(PATIENCE)? {
        Event::Ran(report) => Ok(*report),
        other => worker.unexpected(&other),
    }
}

/// So many jobs that the queue does not run dry, and no more.
fn jobs_to_fill(
    parameters: &Parameters,
    stack: &Stack,
    via: Via,
    concurrency: usize,
    mix: Mix,
) -> u64 {
    let takes = parameters.takes(mix);
    let mean = takes.iter().sum::<Duration>().as_secs_f64() / takes.len().max(1) as f64;
    // The crate waits for two round trips a job at the least.
    let round_trips = if via.is_baseline() {
        2.0 * stack.round_trip.unwrap_or_default().as_secs_f64()
    } else {
        0.0
    };
    let rate = (concurrency as f64 / (mean + round_trips).max(1e-6)).min(WORK_RATE_MAX);
    // And makes its connections one after the other, while it runs jobs already.
    let connecting = 2.0 * round_trips * concurrency as f64;
    let seconds = (warm_up(parameters, mix) + parameters.duration).as_secs_f64() + 1.0 + connecting;
    (rate * seconds * 1.2) as u64 + 4 * concurrency as u64
}

/// Long jobs that began together need a while until they no longer end together.
fn warm_up(parameters: &Parameters, mix: Mix) -> Duration {
    let longest = parameters.takes(mix).into_iter().max().unwrap_or_default();
    parameters.warm_up.max((longest * 10).min(LONG_WARM_UP))
}

/// Looks at how much the work server has reserved, until a moment; returns the most that was seen.
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
    let mut worker = start_worker(stack, via, queue, concurrency)?;
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
    let counted = ask(&mut worker, from, to)?;
    let ran = settle(stack, &mut worker, queue, count)?;
    run.seconds = (to - from) as f64 / 1e6;
    run.jobs = counted.counted;
    run.jobs_per_second = per_second(run.jobs, run.seconds);
    // What was running at the end of the window has ended by now, and its part within it counts.
    let whole = ask(&mut worker, from, to)?;
    run.held = Some(whole.held);
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
fn settle(
    stack: &mut Stack,
    worker: &mut Part,
    queue: &str,
    count: u64,
) -> anyhow::Result<WorkerReport> {
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

/// Every job that was stored must have been run, once, and acknowledged; or be among those left in
/// the queue.
fn note_runs(
    stack: &mut Stack,
    run: &mut Run,
    ran: &WorkerReport,
    stored: u64,
    left: u64,
) -> anyhow::Result<()> {
    run.counts = Counts {
        stored,
        arrived: ran.runs + left,
        distinct: Some(ran.distinct + left),
        ..run.counts
    };
    if ran.distinct + left < stored {
        run.failures.push(format!("{} jobs were lost", stored - ran.distinct - left));
    }
    if ran.distinct + left > stored + run.counts.unknown {
        run.failures.push(format!(
            "{} jobs more than were stored",
            ran.distinct + left - stored - run.counts.unknown
        ));
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
    let ran = until_run(&mut worker, began, u64::MAX, loaded.stored)?;
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

/// Jobs come one at a time to a worker that has nothing to do. The latency is from the server's
/// queue to the handler.
pub(super) fn idle(
    parameters: &Parameters,
    stack: &mut Stack,
    queue: &str,
    concurrency: usize,
    jobs: u64,
) -> anyhow::Result<Run> {
    stack.distance.watch();
    let mut worker = start_worker(stack, Via::Worker, queue, concurrency)?;
    std::thread::sleep(parameters.warm_up);
    let begun = Instant::now();
    let apart = parameters.duration.div_f64(jobs.max(1) as f64);
    let trickle = Trickle {
        queue: queue.into(),
        first: 0,
        count: jobs,
        apart,
        takes: Vec::new(),
        retries: Vec::new(),
    };
    stack.attend(&Attend::Trickle(trickle))?;
    let ran = until_run(&mut worker, 0, 0, jobs)?;
    let mut run = Run {
        jobs: ran.distinct,
        seconds: begun.elapsed().as_secs_f64(),
        latency: ran.waited.clone(),
        ..Run::default()
    };
    run.jobs_per_second = per_second(run.jobs, run.seconds);
    note_link(stack, &mut run);
    note_runs(stack, &mut run, &ran, jobs, 0)?;
    stack.end_worker(worker);
    stack.clear_away(queue)?;
    Ok(run)
}

/// Several workers of the same kind meet a pile of jobs that is posted at once.
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
    let started: anyhow::Result<Vec<Part>> =
        (0..workers).map(|_| start_worker(stack, Via::Worker, queue, concurrency)).collect();
    let mut started = started?;
    std::thread::sleep(parameters.warm_up);
    let begun = Instant::now();
    stack.attend(&Attend::Fill { queue: queue.into(), count: jobs, takes: vec![takes] })?;
    let give_up = Instant::now() + SETTLES_WITHIN;
    let each = loop {
        let each = started
            .iter_mut()
            .map(|worker| ask(worker, 0, 0))
            .collect::<anyhow::Result<Vec<_>>>()?;
        if each.iter().map(|ran| ran.runs).sum::<u64>() >= jobs || Instant::now() > give_up {
            break each;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
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
    note_runs(stack, &mut run, &ran, jobs, 0)?;
    started.into_iter().for_each(|worker| stack.end_worker(worker));
    stack.clear_away(queue)?;
    Ok(run)
}

/// Jobs of 10 ms, of which every twentieth never ends. What becomes of those is not looked at.
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
    let mut worker = start_worker(stack, Via::Worker, queue, concurrency)?;
    std::thread::sleep(parameters.warm_up.max(HANGS_WITHIN));
    let from = now_us();
    std::thread::sleep(parameters.duration);
    let to = now_us();
    let ran = ask(&mut worker, from, to)?;
    let mut run = Run {
        jobs: ran.counted,
        seconds: (to - from) as f64 / 1e6,
        latency: ran.took,
        ..Run::default()
    };
    run.jobs_per_second = per_second(run.jobs, run.seconds);
    note_link(stack, &mut run);
    stack.end_worker(worker);
    stack.clear_away(queue)?;
    Ok(run)
}

/// Jobs that use the processor. The latency is how long each took.
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
    let mut worker =
        launch_worker(stack, Via::Worker, queue, concurrency, None, Handlers::UseProcessor)?;
    ready(&worker)?;
    std::thread::sleep(parameters.warm_up);
    let from = now_us();
    std::thread::sleep(parameters.duration);
    let to = now_us();
    let counted = ask(&mut worker, from, to)?;
    let ran = settle(stack, &mut worker, queue, count)?;
    let mut run = Run {
        jobs: counted.counted,
        seconds: (to - from) as f64 / 1e6,
        latency: counted.took,
        ..Run::default()
    };
    run.jobs_per_second = per_second(run.jobs, run.seconds);
    run.held = Some(ran.held);
    note_link(stack, &mut run);
    let left = stack.queue_size(queue)?;
    note_runs(stack, &mut run, &ran, count, left)?;
    stack.end_worker(worker);
    stack.clear_away(queue)?;
    Ok(run)
}

/// Longer than any measurement.
const FOR_EVER: Duration = Duration::from_secs(3600);
/// By then every place has met a job that never ends, where nobody ends it.
const HANGS_WITHIN: Duration = Duration::from_secs(3);

/// Before the link is cut.
const BEFORE_CUT: Duration = Duration::from_secs(8);
/// After it is whole again.
const AFTER_CUT: Duration = Duration::from_secs(25);

/// The link is cut for a while under a worker with enough to do.
pub(super) fn cut(
    parameters: &Parameters,
    stack: &mut Stack,
    queue: &str,
    concurrency: usize,
    takes: Duration,
    lasts: Duration,
) -> anyhow::Result<Run> {
    let rate = concurrency as f64 / takes.as_secs_f64().max(1e-6);
    let count = (rate * (parameters.warm_up + BEFORE_CUT + AFTER_CUT).as_secs_f64() * 1.2) as u64;
    stack.attend(&Attend::Fill { queue: queue.into(), count, takes: vec![takes] })?;
    stack.distance.watch();
    let mut worker = start_worker(stack, Via::Worker, queue, concurrency)?;
    std::thread::sleep(parameters.warm_up);
    let from = now_us();
    std::thread::sleep(BEFORE_CUT);
    anyhow::ensure!(stack.distance.cut(), "only an emulated link can be cut");
    let cut_from = now_us();
    std::thread::sleep(lasts);
    stack.distance.restore();
    let cut_to = now_us();
    std::thread::sleep(AFTER_CUT);
    let to = now_us();
    let ran = ask(&mut worker, from, to)?;
    settle(stack, &mut worker, queue, count)?;
    let whole = ask(&mut worker, 0, 0)?;
    let stranded = stack.unacknowledged()?;
    let left = stack.queue_size(queue)?;
    let seconds = |us: u64| (us - from) as f64 / 1e6;
    let step_seconds = BIN_US as f64 / 1e6;
    let mut timeline = Timeline {
        step_seconds,
        jobs_per_second: ran.timeline.iter().map(|jobs| *jobs as f64 / step_seconds).collect(),
        cut: (seconds(cut_from), seconds(cut_to)),
        resumed_seconds: None,
        stranded,
    };
    timeline.find_resumed();
    let mut run =
        Run { jobs: ran.counted, seconds: seconds(to), timeline: Some(timeline), ..Run::default() };
    run.jobs_per_second = per_second(run.jobs, run.seconds);
    run.counts = Counts {
        stored: count,
        arrived: whole.runs + left,
        distinct: Some(whole.distinct + left),
        ..Counts::default()
    };
    if whole.runs > whole.distinct {
        run.failures
            .push(format!("{} jobs were run twice by this worker", whole.runs - whole.distinct));
    }
    if whole.distinct + left + stranded < count {
        run.failures.push(format!("{} jobs were lost", count - whole.distinct - left - stranded));
    }
    note_link(stack, &mut run);
    stack.end_worker(worker);
    stack.clear_away(queue)?;
    Ok(run)
}
