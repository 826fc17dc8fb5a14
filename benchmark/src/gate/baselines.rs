//! The gate of the baseline: the faktory crate is as slow as its round trips say.

use std::time::Duration;

use super::check::Check;
use super::figures::Figures;
use crate::network;
use crate::part::order::Via;
use crate::report::Report;
use crate::runner::Plan;
use crate::scenario;

pub(super) fn prepare(plan: &mut Plan) -> anyhow::Result<()> {
    plan.networks = vec![network::lan(), network::wan()];
    plan.scenarios = scenario::named(
        &scenario::all(&plan.parameters),
        &["single".into(), "batch-100".into(), "work-noop-15".into()],
    )?;
    plan.vias = vec![Via::Crate];
    plan.parameters.duration = plan.parameters.duration.max(Duration::from_secs(5));
    plan.parameters.warm_up = plan.parameters.warm_up.max(Duration::from_secs(1));
    Ok(())
}

/// One enqueue takes one round trip. A batch of 100 takes two (Nagle). A job takes two round trips
/// of one of the worker's connections: FETCH and ACK.
pub(super) fn checks(report: &Report) -> Vec<Check> {
    let figures = Figures(report);
    let mut checks = Vec::new();
    for network in &report.networks {
        let (name, round_trip) = (&network.network.name, network.round_trip_ms / 1e3);
        let rate = |scenario: &str| figures.rate((name, scenario, Via::Crate));
        checks.push(Check {
            what: format!("{name}: enqueue, one after another, jobs per round trip"),
            found: rate("single").map(|rate| rate * round_trip),
            at_least: 0.85,
            at_most: 1.02,
        });
        checks.push(Check {
            what: format!("{name}: enqueue_many of 100, one after another, batches per round trip"),
            found: rate("batch-100").map(|rate| rate * round_trip / 100.0),
            // Half a batch, less the server's own work: Faktory takes 4 to 5 ms for 100 jobs, a
            // fifth of two round trips of 10 ms.
            at_least: 0.35,
            at_most: 0.52,
        });
        checks.push(Check {
            what: format!("{name}: worker with 15, jobs per round trip and slot"),
            found: rate("work-noop-15").map(|rate| rate * round_trip / 15.0),
            at_least: 0.42,
            at_most: 0.52,
        });
    }
    checks
}
