//! The gate of hostile clients: an honest client posts at a fixed rate, and is served as well as
//! without them.

use std::time::Duration;

use super::check::Check;
use crate::measure::Spread;
use crate::network::Network;
use crate::part::order::{Attack, Via};
use crate::report::{Report, Run};
use crate::runner::Plan;
use crate::scenario::{Focus, Kind, Scenario};
use crate::stack::ServerKind;

const NEAR: &str = "near";
/// The scenario without a hostile client.
const QUIET: &str = "quiet";
/// The honest client's posts a second, one job each.
pub(super) const PER_SECOND: f64 = 500.0;
/// The longest latency at the 99th percentile, in milliseconds, and the same as a multiple of the
/// latency without a hostile client: the larger of both counts, because a slow machine is no
/// hostile client.
pub(super) const P99_MS: f64 = 5.0;
pub(super) const P99_TIMES: f64 = 3.0;
/// The longest latency of all, in milliseconds, and as a multiple.
pub(super) const WORST_MS: f64 = 100.0;
pub(super) const WORST_TIMES: f64 = 3.0;

/// An attack on the API does not touch a client of the work server, so that is not measured.
fn is_wanted(_: &str, scenario: &str, via: Via) -> bool {
    let mut attacks = Attack::ALL.into_iter();
    let attack = attacks.find(|attack| attack.name_and_title().0 == scenario);
    match via {
        Via::Http => true,
        Via::Link => attack.is_none_or(|attack| !attack.is_of_api()),
        Via::Worker | Via::Crate | Via::Raw => false,
    }
}

pub(super) fn prepare(plan: &mut Plan) -> anyhow::Result<()> {
    anyhow::ensure!(
        !matches!(plan.kind, ServerKind::Given { .. }),
        "this gate attacks its own work server and API, and no others"
    );
    let near = Network::with_round_trip(NEAR, "0.1 ms", Duration::from_micros(100));
    plan.networks = vec![near.guarded()];
    plan.scenarios = scenarios();
    plan.pick = Some(is_wanted);
    plan.vias = Vec::new();
    Ok(())
}

fn scenarios() -> Vec<Scenario> {
    let scenario = |name: &str, title: &str, attack| Scenario {
        name: name.into(),
        title: title.into(),
        kind: Kind::Hostile { attack, per_second: PER_SECOND },
        focus: Focus::Latency,
    };
    let mut scenarios = vec![scenario(QUIET, "no hostile client", None)];
    scenarios.extend(Attack::ALL.map(|attack| {
        let (name, title) = attack.name_and_title();
        scenario(name, title, Some(attack))
    }));
    scenarios
}

pub(super) fn checks(report: &Report) -> Vec<Check> {
    let mut checks = Vec::new();
    for attack in Attack::ALL {
        let name = attack.name_and_title().0;
        for via in [Via::Link, Via::Http] {
            if is_wanted(NEAR, name, via) {
                checks.extend(beside(report, name, via));
            }
        }
    }
    checks
}

/// The checks of one attack, as one way to post sees it.
fn beside(report: &Report, scenario: &str, via: Via) -> [Check; 4] {
    let quiet = |of| figure(report, QUIET, via, of);
    let found = |of| figure(report, scenario, via, of);
    let bound = |of, ms: f64, times: f64| quiet(of).map_or(ms, |quiet| ms.max(times * quiet));
    let name = |what: &str| format!("{scenario}, {}: {what}", via.name());
    [
        Check::at_most(&name("p99 in ms"), found(p99), bound(p99, P99_MS, P99_TIMES)),
        Check::at_most(&name("worst in ms"), found(worst), bound(worst, WORST_MS, WORST_TIMES)),
        Check::at_most(
            &name("connected anew, worst answer in ms"),
            found(worst_probe),
            bound(worst_probe, WORST_MS, WORST_TIMES),
        ),
        Check::at_most(&name("posts and questions without success"), found(failed), 0.0),
    ]
}

/// The median over the runs of a figure, in milliseconds or as a number.
fn figure(report: &Report, scenario: &str, via: Via, of: fn(&Run) -> f64) -> Option<f64> {
    let figure = report.figure(NEAR, scenario, via)?;
    // A run in which jobs could not be counted has latencies too; the report fails by itself.
    let runs = figure.runs.iter().filter(|run| run.void.is_empty() && run.probed.is_some());
    Spread::of(runs.map(of)).map(|spread| spread.median)
}

/// Refused posts count as well: whoever is refused late has waited too.
fn p99(run: &Run) -> f64 {
    run.latency.p99_us as f64 / 1e3
}

fn worst(run: &Run) -> f64 {
    let refused = run.refused.as_ref().map_or(0, |refused| refused.latency.max_us);
    run.latency.max_us.max(refused) as f64 / 1e3
}

fn worst_probe(run: &Run) -> f64 {
    run.probed.as_ref().map_or(0.0, |probed| probed.latency.max_us as f64 / 1e3)
}

fn failed(run: &Run) -> f64 {
    let probes = run.probed.as_ref().map_or(0, |probed| probed.failures);
    (run.counts.unknown + run.counts.not_stored + probes) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Latency;
    use crate::part::order::Probed;
    use crate::report::Figure;
    use crate::report::machine::Machine;
    use crate::scenario::Parameters;

    fn run(p99_us: u64) -> Run {
        let latency = Latency { count: 100, p99_us, max_us: p99_us, ..Latency::default() };
        Run { latency, probed: Some(Probed::default()), ..Run::default() }
    }

    fn report(p99_us: impl Fn(&str) -> u64) -> Report {
        let mut report = Report::begin(Machine::this(), Parameters::default(), Vec::new());
        for scenario in scenarios() {
            for via in [Via::Http, Via::Link] {
                if is_wanted(NEAR, &scenario.name, via) {
                    report.figures.push(Figure {
                        network: NEAR.into(),
                        scenario: scenario.name.clone(),
                        title: String::new(),
                        focus: Focus::Latency,
                        via,
                        summary: None,
                        runs: vec![run(p99_us(&scenario.name))],
                    });
                }
            }
        }
        report
    }

    #[test]
    fn every_attack_has_a_name_of_its_own_and_checks_whose_figures_are_measured() {
        let names: std::collections::BTreeSet<_> =
            scenarios().into_iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), Attack::ALL.len() + 1);
        let checks = checks(&report(|_| 1000));
        assert_eq!(checks.len(), 4 * (9 * 2 + 6));
        assert!(checks.iter().all(Check::is_met), "{checks:?}");
    }

    #[test]
    fn a_slow_machine_is_no_hostile_client_and_a_slow_moment_beside_one_is_a_miss() {
        let slow = |quiet, beside| {
            let report = report(|name| if name == QUIET { quiet } else { beside });
            checks(&report).iter().filter(|check| !check.is_met()).count()
        };
        assert_eq!(slow(1000, 5000), 0);
        assert_eq!(slow(1000, 5001), 24, "the 99th percentile of each");
        assert_eq!(slow(4000, 12_000), 0);
        assert_eq!(slow(1000, 100_001), 48, "and the worst");
    }
}
