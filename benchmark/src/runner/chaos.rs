//! The scenario in which workers start and end at random while jobs are posted.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::watch::note_link;
use super::worker;
use crate::chaos::Chaos;
use crate::part::order::{Attend, Handlers, Trickle, Via};
use crate::part::run_log::{RunLog, Times};
use crate::process::Part;
use crate::report::Run;
use crate::stack::Stack;

/// Jobs posted a second.
const FLOW: f64 = 200.0;
/// The longest time to post all jobs beyond the chaos itself.
const POSTED_WITHIN: Duration = Duration::from_secs(600);
/// The longest time until the remaining jobs are run: a reservation of 60 s, the work server's
/// look for expired reservations, a backoff, and all that a few times.
const DRAINED_WITHIN: Duration = Duration::from_secs(900);
/// The numbers of retries, in turn: every fourth job may not be retried. Thirteen numbers, so that
/// in time each length of a job meets each number of retries.
const RETRIES: [i64; 13] = [25, 25, 25, 0, 25, 25, 25, 0, 25, 25, 25, 0, 25];

fn may_be_lost(number: u64) -> bool {
    RETRIES.get(number as usize % RETRIES.len()).is_some_and(|retry| *retry == 0)
}

/// Workers start and end at random while jobs are posted: some are told to end, some are killed.
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
    let count = (FLOW * lasts.as_secs_f64()) as u64;
    let begun = Instant::now();
    stack.begin_to_attend(&Attend::Trickle(Trickle {
        queue: queue.into(),
        first: 0,
        count,
        apart: Duration::from_secs_f64(1.0 / FLOW),
        takes: [10, 50, 100, 200].map(Duration::from_millis).to_vec(),
        retries: RETRIES.to_vec(),
    }))?;
    let mut crowd = Crowd::default();
    while begun.elapsed() < lasts {
        crowd.change(workers, || start(stack, queue, concurrency, &log))?;
        std::thread::sleep(Duration::from_millis(fastrand::u64(50..400)));
    }
    stack.attended(lasts + POSTED_WITHIN)?;
    // Two workers that stay run the remaining jobs.
    let _steady =
        [start(stack, queue, concurrency, &log)?, start(stack, queue, concurrency, &log)?];
    for worker in &crowd.running {
        worker.terminate()?;
    }
    let jobs = until_drained(stack, queue, &log)?;
    let (chaos, failures) = Chaos::of(&jobs, count, may_be_lost);
    let mut run =
        Run { jobs: jobs.len() as u64, seconds: begun.elapsed().as_secs_f64(), ..Run::default() };
    run.failures.extend(failures);
    run.chaos = Some(Chaos { killed: crowd.killed, ended: crowd.ended, ..chaos });
    note_link(stack, &mut run);
    drop(crowd);
    stack.clear_away(queue)?;
    Ok(run)
}

fn start(stack: &Stack, queue: &str, concurrency: usize, log: &Path) -> anyhow::Result<Part> {
    worker::launch(stack, Via::Worker, queue, concurrency, Some(log), Handlers::Sleep)
}

/// The workers that run, and those that were told to end.
#[derive(Default)]
struct Crowd {
    running: Vec<Part>,
    leaving: Vec<Part>,
    killed: u64,
    ended: u64,
}

impl Crowd {
    /// Starts a worker, kills a worker, or tells a worker to end, at random.
    fn change(
        &mut self,
        workers: usize,
        start: impl FnOnce() -> anyhow::Result<Part>,
    ) -> anyhow::Result<()> {
        let has_room = self.running.len() < workers;
        if has_room && (self.running.is_empty() || fastrand::bool()) {
            self.running.push(start()?);
        } else {
            let worker = self.running.swap_remove(fastrand::usize(..self.running.len()));
            if fastrand::bool() {
                self.killed += 1;
                worker.kill();
            } else {
                self.ended += 1;
                worker.terminate()?;
                self.leaving.push(worker);
            }
        }
        self.leaving.retain_mut(|worker| !worker.has_ended());
        Ok(())
    }
}

/// Waits until no job is left in the work server, and returns the runs of each job.
fn until_drained(
    stack: &mut Stack,
    queue: &str,
    log: &Path,
) -> anyhow::Result<HashMap<u64, Times>> {
    let give_up = Instant::now() + DRAINED_WITHIN;
    loop {
        let (jobs, sets) = (RunLog::read(log)?, stack.sets()?);
        let waiting = stack.queue_size(queue)? + sets.working + sets.retries + sets.scheduled;
        if waiting == 0 || Instant::now() > give_up {
            return Ok(jobs);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fourth_job_of_thirteen_may_not_be_retried() {
        let expected: Vec<i64> =
            (0..13).map(|number| if number % 4 == 3 { 0 } else { 25 }).collect();
        assert_eq!(RETRIES.to_vec(), expected);
        assert!(may_be_lost(3) && may_be_lost(16) && !may_be_lost(12));
    }
}
