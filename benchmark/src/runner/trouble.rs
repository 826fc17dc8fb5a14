//! More is posted than the work server takes, or there is no work server, or the link is cut, or
//! forgets.

use std::time::Duration;

use super::posting::{arrivals, load, load_order, per_second, started};
use super::watch::{Watch, note_link};
use crate::part::order::{BIN_US, LoadOrder, LoadReport, Shape, Via};
use crate::processor::Usage;
use crate::report::{Counts, Run, Timeline};
use crate::scenario::{Pace, Parameters};
use crate::stack::Stack;

/// By then the work server has gone, and the circuit is open.
const OPENS_WITHIN: Duration = Duration::from_secs(5);

/// So many requests a second, whatever becomes of them.
pub(super) fn overload(
    parameters: &Parameters,
    stack: &mut Stack,
    queue: &str,
    batch: usize,
    rate: f64,
) -> anyhow::Result<Run> {
    stack.distance.watch();
    let order =
        load_order(parameters, stack, Via::Http, queue, Shape::Add, batch, Pace::PerSecond(rate));
    let (loaded, watch, after, _) = load(stack, order, &[])?;
    let mut run = run_of(loaded, stack, &watch, &after);
    refused_only(&mut run, "too many jobs are waiting");
    if run.counts.unknown > 0 {
        run.failures.push(format!("of {} jobs nobody knows", run.counts.unknown));
    }
    arrivals(stack, queue, &mut run)?;
    Ok(run)
}

/// The work server goes, and clients go on posting. The stack is of no more use.
pub(super) fn outage(
    parameters: &Parameters,
    stack: &mut Stack,
    queue: &str,
    clients: usize,
) -> anyhow::Result<Run> {
    stack.distance.watch();
    let order =
        load_order(parameters, stack, Via::Http, queue, Shape::Add, 1, Pace::Clients(clients));
    let load =
        started(stack, LoadOrder { warm_up: parameters.warm_up.max(OPENS_WITHIN), ..order })?;
    stack.stop_work_server()?;
    let (loaded, watch, after, _) = load.finish(stack, &[])?;
    let mut run = run_of(loaded, stack, &watch, &after);
    refused_only(&mut run, "failed several times in a row");
    Ok(run)
}

/// What is posted before the link is cut.
pub(super) const BEFORE_CUT: Duration = Duration::from_secs(4);
/// And after it is whole again.
pub(super) const AFTER_CUT: Duration = Duration::from_secs(12);

/// So many clients post, whatever becomes of it; the link is cut meanwhile, unless that lasts no
/// time.
pub(super) fn posting(
    parameters: &Parameters,
    stack: &mut Stack,
    via: Via,
    queue: &str,
    clients: usize,
    cut: Duration,
) -> anyhow::Result<Run> {
    stack.distance.watch();
    let duration = if cut.is_zero() { parameters.duration } else { BEFORE_CUT + cut + AFTER_CUT };
    let parameters = Parameters { duration, ..parameters.clone() };
    let order = load_order(&parameters, stack, via, queue, Shape::Add, 1, Pace::Clients(clients));
    let mut was_cut = true;
    let (loaded, watch, after, _) = started(stack, order)?.finish_with(stack, &[], |stack| {
        if !cut.is_zero() {
            std::thread::sleep(BEFORE_CUT);
            was_cut = stack.distance.cut();
            std::thread::sleep(cut);
            stack.distance.restore();
        }
    })?;
    anyhow::ensure!(was_cut, "only an emulated link can be cut");
    let step_seconds = BIN_US as f64 / 1e6;
    let mut timeline = Timeline {
        step_seconds,
        jobs_per_second: loaded.timeline.iter().map(|jobs| *jobs as f64 / step_seconds).collect(),
        cut: (BEFORE_CUT.as_secs_f64(), (BEFORE_CUT + cut).as_secs_f64()),
        ..Timeline::default()
    };
    timeline.find_resumed();
    let mut run = run_of(loaded, stack, &watch, &after);
    run.timeline = (!cut.is_zero()).then_some(timeline);
    arrivals(stack, queue, &mut run)?;
    Ok(run)
}

/// One job at a time, so far apart. The first is not counted: no silence comes before it.
pub(super) fn silence(
    parameters: &Parameters,
    stack: &mut Stack,
    via: Via,
    queue: &str,
    lasts: Duration,
    times: u32,
) -> anyhow::Result<Run> {
    stack.distance.watch();
    let parameters =
        Parameters { warm_up: lasts / 2, duration: lasts * times, ..parameters.clone() };
    let order = load_order(
        &parameters,
        stack,
        via,
        queue,
        Shape::Add,
        1,
        Pace::PerSecond(1.0 / lasts.as_secs_f64()),
    );
    let (loaded, watch, after, _) = load(stack, order, &[])?;
    let mut run = run_of(loaded, stack, &watch, &after);
    arrivals(stack, queue, &mut run)?;
    Ok(run)
}

fn run_of(loaded: LoadReport, stack: &Stack, watch: &Watch, after: &Usage) -> Run {
    let LoadReport {
        jobs,
        seconds,
        latency,
        refused,
        stored,
        unknown,
        not_stored,
        generator_late_p99_us,
        ..
    } = loaded;
    let mut run = Run {
        jobs,
        seconds,
        jobs_per_second: per_second(jobs, seconds),
        latency,
        refused: (refused.latency.count > 0).then_some(refused),
        generator_late_p99_us,
        counts: Counts { stored, unknown, not_stored, ..Counts::default() },
        ..Run::default()
    };
    note_link(stack, &mut run);
    watch.note(after, &mut run);
    run.grew_bytes = watch.grew(after, "api");
    run
}

/// What was refused was so for this reason; and something was.
fn refused_only(run: &mut Run, reason: &str) {
    let reasons = run.refused.iter().flat_map(|refused| &refused.reasons);
    run.failures.extend(
        reasons
            .filter(|found| !found.contains(reason))
            .map(|found| format!("refused otherwise: {found}")),
    );
    if run.refused.is_none() {
        run.failures.push("nothing was refused".into());
    }
}
