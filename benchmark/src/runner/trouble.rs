//! More is posted than the work server takes, or there is no work server.

use std::time::Duration;

use super::posting::{arrivals, load, load_order, per_second, started};
use super::watch::{Watch, note_link};
use crate::part::order::{LoadOrder, LoadReport, Shape, Via};
use crate::processor::Usage;
use crate::report::{Counts, Run};
use crate::scenario::{Pace, Parameters};
use crate::stack::Stack;

/// By then the work server has gone, and the circuit is open.
const OPENS_WITHIN: Duration = Duration::from_secs(5);

/// So many requests a second, whatever becomes of them.
pub(super) fn overload(parameters: &Parameters, stack: &mut Stack, queue: &str, batch: usize, rate: f64) -> anyhow::Result<Run> {
    stack.distance.watch();
    let order = load_order(parameters, stack, Via::Http, queue, Shape::Add, batch, Pace::PerSecond(rate));
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
pub(super) fn outage(parameters: &Parameters, stack: &mut Stack, queue: &str, clients: usize) -> anyhow::Result<Run> {
    stack.distance.watch();
    let order = load_order(parameters, stack, Via::Http, queue, Shape::Add, 1, Pace::Clients(clients));
    let load = started(stack, LoadOrder { warm_up: parameters.warm_up.max(OPENS_WITHIN), ..order })?;
    stack.stop_work_server()?;
    let (loaded, watch, after, _) = load.finish(stack, &[])?;
    let mut run = run_of(loaded, stack, &watch, &after);
    refused_only(&mut run, "failed several times in a row");
    Ok(run)
}

fn run_of(loaded: LoadReport, stack: &Stack, watch: &Watch, after: &Usage) -> Run {
    let LoadReport { jobs, seconds, latency, refused, stored, unknown, not_stored, generator_late_p99_us, .. } = loaded;
    let mut run = Run {
        jobs,
        seconds,
        jobs_per_second: per_second(jobs, seconds),
        latency,
        refused: Some(refused),
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
    run.failures.extend(reasons.filter(|found| !found.contains(reason)).map(|found| format!("refused otherwise: {found}")));
    if run.refused.as_ref().is_none_or(|refused| refused.latency.count == 0) {
        run.failures.push("nothing was refused".into());
    }
}
