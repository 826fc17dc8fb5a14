//! Scenarios of trouble: more jobs than the work server takes, no work server, a link that is cut,
//! a NAT that forgets.

use std::time::Duration;

use super::arrivals;
use super::load::{Loaded, load, load_order, run_of, start};
use super::timeline::timeline;
use crate::part::order::{LoadOrder, Shape, Via};
use crate::report::Run;
use crate::scenario::{Pace, Parameters};
use crate::stack::Stack;

/// The time in which the work server is gone and the circuit is open.
const OPENS_WITHIN: Duration = Duration::from_secs(5);

/// A rate of requests that is more than the work server takes.
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
    let mut run = with_refusals(stack, load(stack, order, &[])?);
    refused_only(&mut run, "too many jobs are waiting");
    if run.counts.unknown > 0 {
        run.failures.push(format!("{} jobs have an unknown outcome", run.counts.unknown));
    }
    arrivals::look_at_each(stack, queue, &mut run)?;
    Ok(run)
}

/// The work server ends, and clients go on posting. The stack can't be used after this.
pub(super) fn outage(
    parameters: &Parameters,
    stack: &mut Stack,
    queue: &str,
    clients: usize,
) -> anyhow::Result<Run> {
    stack.distance.watch();
    let order =
        load_order(parameters, stack, Via::Http, queue, Shape::Add, 1, Pace::Clients(clients));
    let load = start(stack, LoadOrder { warm_up: parameters.warm_up.max(OPENS_WITHIN), ..order })?;
    stack.stop_work_server()?;
    let mut run = with_refusals(stack, load.finish(stack, &[])?);
    refused_only(&mut run, "failed several times in a row");
    Ok(run)
}

/// The measured time before the link is cut.
pub(super) const BEFORE_CUT: Duration = Duration::from_secs(4);
/// The measured time after the cut.
pub(super) const AFTER_CUT: Duration = Duration::from_secs(12);

/// Clients post, whatever the outcome. The link is cut for a while; for no cut, `cut` is zero.
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
    let loaded = start(stack, order)?.finish_with(stack, &[], |stack| {
        if !cut.is_zero() {
            std::thread::sleep(BEFORE_CUT);
            was_cut = stack.distance.cut();
            std::thread::sleep(cut);
            stack.distance.restore();
        }
    })?;
    anyhow::ensure!(was_cut, "only an emulated link can be cut");
    let cut_seconds = (BEFORE_CUT.as_secs_f64(), (BEFORE_CUT + cut).as_secs_f64());
    let timeline = timeline(&loaded.report.timeline, cut_seconds);
    let mut run = with_refusals(stack, loaded);
    run.timeline = (!cut.is_zero()).then_some(timeline);
    arrivals::look_at_each(stack, queue, &mut run)?;
    Ok(run)
}

/// Single jobs with silence between them. The first job belongs to the warm-up: no silence comes
/// before it.
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
    let pace = Pace::PerSecond(1.0 / lasts.as_secs_f64());
    let order = load_order(&parameters, stack, via, queue, Shape::Add, 1, pace);
    let mut run = with_refusals(stack, load(stack, order, &[])?);
    arrivals::look_at_each(stack, queue, &mut run)?;
    Ok(run)
}

/// A load as a run in which refusals are figures and not failures.
fn with_refusals(stack: &Stack, loaded: Loaded) -> Run {
    let mut run = run_of(&loaded.report);
    loaded.note_use(stack, &mut run);
    run.grew_bytes = loaded.grew("api");
    let refused = loaded.report.refused;
    run.refused = (refused.latency.count > 0).then_some(refused);
    run
}

/// Fails the run where nothing was refused, or where anything was refused for another reason.
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
