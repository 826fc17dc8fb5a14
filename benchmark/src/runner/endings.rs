//! Workers end, in order or not, and nothing is lost by it.

use std::path::Path;
use std::time::{Duration, Instant};

use super::watch::note_link;
use super::working::launch_worker;
use crate::chaos::Chaos;
use crate::measure::Latencies;
use crate::part::order::{Attend, Handlers, Trickle, Via};
use crate::part::run_log::RunLog;
use crate::process::Part;
use crate::report::{Counts, Run};
use crate::stack::{Stack, ready};

/// A worker has come up to its full rate by then.
const UP_TO_SPEED: Duration = Duration::from_millis(1500);
/// More than it runs until then.
const PILE: u64 = 20_000;
/// Enough for the queue to run dry at full rate.
const SMALL_PILE: u64 = 5000;
/// What goes on coming when it is dry.
const TRICKLE: u64 = 200;
const TRICKLE_APART: Duration = Duration::from_millis(50);
/// How long after the queue has run dry the worker is to end.
const DRY_FOR: Duration = Duration::from_secs(1);
/// A process takes a little to be gone.
const GRACE: Duration = Duration::from_secs(2);

/// Jobs that come a second while workers come and go.
const FLOW: f64 = 200.0;
/// What is left when they have gone is run by then: a reservation of 60 s, the look for those that
/// ran out, a backoff, and that a few times.
const DRAINED_WITHIN: Duration = Duration::from_secs(900);

fn start(stack: &Stack, queue: &str, concurrency: usize, log: &Path) -> anyhow::Result<Part> {
    launch_worker(stack, Via::Worker, queue, concurrency, Some(log), Handlers::Sleep)
}

/// So many times a worker is told to end: under full load, or a second after its queue ran dry
/// while a few jobs still come. The latency is from the signal to its end.
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
        let mut count = if dry { SMALL_PILE } else { PILE };
        stack.attend(&Attend::Fill { queue: queue.into(), count, takes: Vec::new() })?;
        let mut worker = start(stack, queue, concurrency, &log)?;
        ready(&worker)?;
        if dry {
            while stack.queue_size(queue)? > 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
            let (takes, retries) = (Vec::new(), Vec::new());
            let trickle = Trickle {
                queue: queue.into(),
                first: count,
                count: TRICKLE,
                apart: TRICKLE_APART,
                takes,
                retries,
            };
            stack.begin_to_attend(&Attend::Trickle(trickle))?;
            count += TRICKLE;
            std::thread::sleep(DRY_FOR);
        } else {
            std::thread::sleep(UP_TO_SPEED);
        }
        let told = Instant::now();
        worker.terminate()?;
        if !worker.ended_within(stack.shutdown_timeout + GRACE) {
            run.failures
                .push(format!("ending {number}: it had not ended after {:?}", told.elapsed()));
        }
        latencies.record(u64::try_from(told.elapsed().as_micros())?);
        if dry {
            stack.attended(TRICKLE_APART * 3 * u32::try_from(TRICKLE)?)?;
        }
        let (sets, left, jobs) = (stack.sets()?, stack.queue_size(queue)?, RunLog::read(&log)?);
        let distinct = jobs.len() as u64;
        let runs: u64 = jobs.values().map(|times| u64::from(times.begun)).sum();
        let mut wrong = |what: &str, found: u64| {
            if found > 0 {
                run.failures.push(format!("ending {number}: {found} {what}"));
            }
        };
        wrong("jobs stayed reserved", sets.working);
        wrong("jobs are to be retried", sets.retries);
        wrong("jobs are dead", sets.dead);
        wrong("failures were counted", sets.failures - failures_before);
        wrong("jobs were lost", count.saturating_sub(distinct + left + sets.scheduled));
        wrong("jobs were doubled", (distinct + left + sets.scheduled).saturating_sub(count));
        wrong("jobs were run twice", runs - distinct);
        run.jobs += distinct;
        run.counts = Counts {
            stored: run.counts.stored + count,
            arrived: run.counts.arrived + runs + left + sets.scheduled,
            ..run.counts
        };
        run.given_back = Some(run.given_back.unwrap_or(0) + sets.scheduled);
        stack.clear_away(queue)?;
    }
    run.seconds = begun.elapsed().as_secs_f64();
    run.latency = latencies.summary();
    note_link(stack, &mut run);
    Ok(run)
}

/// Workers come and go at random, some in order and some killed, while jobs come; every fourth job
/// may not be retried.
pub(super) fn chaos(
    stack: &mut Stack,
    queue: &str,
    workers: usize,
    concurrency: usize,
    lasts: Duration,
) -> anyhow::Result<Run> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("runs");
    stack.distance.watch();
    let takes: Vec<Duration> = [10, 50, 100, 200].map(Duration::from_millis).to_vec();
    // By thirteen, so that each time meets each number of retries.
    let retries: Vec<i64> = (0..13).map(|number| if number % 4 == 3 { 0 } else { 25 }).collect();
    let may_be_lost =
        |number: u64| retries.get(number as usize % retries.len()).is_some_and(|retry| *retry == 0);
    let count = (FLOW * lasts.as_secs_f64()) as u64;
    let apart = Duration::from_secs_f64(1.0 / FLOW);
    let trickle =
        Trickle { queue: queue.into(), first: 0, count, apart, takes, retries: retries.clone() };
    let begun = Instant::now();
    stack.begin_to_attend(&Attend::Trickle(trickle))?;
    let (mut running, mut leaving): (Vec<Part>, Vec<Part>) = (Vec::new(), Vec::new());
    let (mut killed, mut ended) = (0, 0);
    while begun.elapsed() < lasts {
        if running.len() < workers && (running.is_empty() || fastrand::bool()) {
            running.push(start(stack, queue, concurrency, &log)?);
        } else {
            let worker = running.swap_remove(fastrand::usize(..running.len()));
            if fastrand::bool() {
                killed += 1;
                worker.kill();
            } else {
                ended += 1;
                worker.terminate()?;
                leaving.push(worker);
            }
        }
        leaving.retain_mut(|worker| !worker.has_ended());
        std::thread::sleep(Duration::from_millis(fastrand::u64(50..400)));
    }
    stack.attended(lasts + Duration::from_secs(600))?;
    // Two that stay run what is left.
    let _steady =
        [start(stack, queue, concurrency, &log)?, start(stack, queue, concurrency, &log)?];
    for worker in &running {
        worker.terminate()?;
    }
    let give_up = Instant::now() + DRAINED_WITHIN;
    let jobs = loop {
        let (jobs, sets) = (RunLog::read(&log)?, stack.sets()?);
        let waiting = stack.queue_size(queue)? + sets.working + sets.retries + sets.scheduled;
        if waiting == 0 || Instant::now() > give_up {
            break jobs;
        }
        std::thread::sleep(Duration::from_secs(1));
    };
    let mut run =
        Run { jobs: jobs.len() as u64, seconds: begun.elapsed().as_secs_f64(), ..Run::default() };
    let (chaos, failures) = Chaos::of(&jobs, count, may_be_lost);
    run.chaos = Some(Chaos { killed, ended, ..chaos });
    run.failures.extend(failures);
    note_link(stack, &mut run);
    drop((running, leaving));
    stack.clear_away(queue)?;
    Ok(run)
}
