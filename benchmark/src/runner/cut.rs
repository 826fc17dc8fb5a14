//! The scenario in which the link is cut under a worker that has enough to do.

use std::time::Duration;

use super::load::per_second;
use super::timeline::timeline;
use super::watch::note_link;
use super::worker;
use crate::part::clock::now_us;
use crate::part::order::{Attend, Via};
use crate::report::{Counts, Run, Timeline};
use crate::scenario::Parameters;
use crate::stack::Stack;

/// The measured time before the cut.
const BEFORE_CUT: Duration = Duration::from_secs(8);
/// The measured time after the cut.
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
    let mut worker = worker::start(stack, Via::Worker, queue, concurrency)?;
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
    let ran = worker::ask(&mut worker, from, to)?;
    worker::settle(stack, &mut worker, queue, count)?;
    let whole = worker::ask(&mut worker, 0, 0)?;
    let stranded = stack.unacknowledged()?;
    let left = stack.queue_size(queue)?;
    let seconds = |us: u64| (us - from) as f64 / 1e6;
    let timeline = timeline(&ran.timeline, (seconds(cut_from), seconds(cut_to)));
    let mut run = Run { jobs: ran.counted, seconds: seconds(to), ..Run::default() };
    run.timeline = Some(Timeline { stranded, ..timeline });
    run.jobs_per_second = per_second(run.jobs, run.seconds);
    run.counts = Counts {
        stored: count,
        arrived: whole.runs + left,
        distinct: Some(whole.distinct + left),
        ..Counts::default()
    };
    if whole.runs > whole.distinct {
        let twice = whole.runs - whole.distinct;
        run.failures.push(format!("{twice} jobs were run twice by this worker"));
    }
    if whole.distinct + left + stranded < count {
        run.failures.push(format!("{} jobs were lost", count - whole.distinct - left - stranded));
    }
    note_link(stack, &mut run);
    stack.end_worker(worker);
    stack.clear_away(queue)?;
    Ok(run)
}
