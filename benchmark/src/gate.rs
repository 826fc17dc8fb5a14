//! Gates: figures that must be reached. Run by hand on a quiet machine, never in CI; their reports
//! are committed.

mod endings;
mod enqueue;
mod overload;
mod tuning;
mod work;

use anyhow::bail;
use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;

use crate::measure::Spread;
use crate::network;
use crate::part::order::Via;
use crate::report::{Report, Run, Summary};
use crate::runner::Plan;
use crate::scenario;

/// One gate.
pub(crate) struct Gate {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What is measured for it; figures on which that depends are measured here.
    pub(crate) prepare: fn(&mut Plan) -> anyhow::Result<()>,
    /// What must hold.
    pub(crate) checks: fn(&Report) -> Vec<Check>,
}

/// One figure and its bounds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Check {
    pub(crate) what: String,
    /// None where it was not measured, which is a miss.
    pub(crate) found: Option<f64>,
    pub(crate) at_least: f64,
    pub(crate) at_most: f64,
}

impl Check {
    fn at_least(what: &str, found: Option<f64>, at_least: f64) -> Self {
        Self { what: what.into(), found, at_least, at_most: f64::INFINITY }
    }

    fn at_most(what: &str, found: Option<f64>, at_most: f64) -> Self {
        Self { what: what.into(), found, at_least: 0.0, at_most }
    }

    pub(crate) fn is_met(&self) -> bool {
        self.found.is_some_and(|found| (self.at_least..=self.at_most).contains(&found))
    }
}

/// A gate's figures are medians of so many measurements of so many seconds; shorter looks are for
/// those who work on it.
fn long_enough(report: &Report, repetitions: f64, seconds: f64) -> Vec<Check> {
    let parameters = &report.parameters;
    vec![
        Check::at_least(
            "measurements of each figure",
            Some(parameters.repetitions as f64),
            repetitions,
        ),
        Check::at_least("seconds of each", Some(parameters.duration.as_secs_f64()), seconds),
    ]
}

/// The median of the ratios of one figure to another, where runs of one repetition are compared. A
/// figure is named by network, scenario and way.
fn paired(
    report: &Report,
    one: (&str, &str, Via),
    other: (&str, &str, Via),
    ratio: impl Fn(&Run, &Run) -> f64,
) -> Option<f64> {
    let (one, other) =
        (report.figure(one.0, one.1, one.2)?, report.figure(other.0, other.1, other.2)?);
    let of = |run: &Run| {
        let same = |other: &&Run| other.is_sound() && other.repetition == run.repetition;
        other.runs.iter().find(same).map(|other| ratio(run, other))
    };
    Spread::of(one.runs.iter().filter(|run| run.is_sound()).filter_map(of))
        .map(|spread| spread.median)
}

/// All gates.
pub(crate) const ALL: &[Gate] = &[
    Gate {
        name: "baselines",
        title: "the faktory crate is as slow as physics says, so what it is compared with is \
                measured well",
        prepare: prepare_baselines,
        checks: baselines,
    },
    Gate {
        name: "enqueue",
        title: "no round trip shows on the enqueue path",
        prepare: enqueue::prepare,
        checks: enqueue::checks,
    },
    Gate {
        name: "overload",
        title: "what is too much is refused at once, and the rest goes on",
        prepare: overload::prepare,
        checks: overload::checks,
    },
    Gate {
        name: "endings",
        title: "workers end, in order or not, and nothing is lost",
        prepare: endings::prepare,
        checks: endings::checks,
    },
    Gate {
        name: "tuning",
        title: "what docs/tuning.md says of each variable is so",
        prepare: tuning::prepare,
        checks: tuning::checks,
    },
    Gate {
        name: "work",
        title: "a worker does not feel the distance",
        prepare: work::prepare,
        checks: work::checks,
    },
];

/// The gate of this name.
pub(crate) fn named(name: &str) -> anyhow::Result<&'static Gate> {
    let Some(gate) = ALL.iter().find(|gate| gate.name == name) else {
        let known = ALL
            .iter()
            .map(|gate| format!("{} ({})", gate.name, gate.title))
            .collect::<Vec<_>>()
            .join(", ");
        bail!("there is no gate {name:?}; there are: {known}");
    };
    Ok(gate)
}

/// The checks as a table, and whether all are met.
pub(crate) fn render(checks: &[Check]) -> (String, bool) {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["figure", "found", "at least", "at most", ""]);
    for check in checks {
        let found =
            check.found.map_or_else(|| "not measured".into(), |found| format!("{found:.3}"));
        let bound =
            |bound: f64| if bound.is_finite() { format!("{bound:.2}") } else { String::new() };
        let verdict = if check.is_met() { "met" } else { "MISSED" };
        table.add_row([
            check.what.clone(),
            found,
            bound(check.at_least),
            bound(check.at_most),
            verdict.into(),
        ]);
    }
    (table.to_string(), !checks.is_empty() && checks.iter().all(Check::is_met))
}

fn prepare_baselines(plan: &mut Plan) -> anyhow::Result<()> {
    plan.networks = network::named(&["lan".into(), "wan".into()])?;
    plan.scenarios = scenario::named(
        &scenario::all(&plan.parameters),
        &["single".into(), "batch-100".into(), "work-noop-15".into()],
    )?;
    plan.vias = vec![Via::Crate];
    plan.parameters.duration = plan.parameters.duration.max(std::time::Duration::from_secs(5));
    plan.parameters.warm_up = plan.parameters.warm_up.max(std::time::Duration::from_secs(1));
    Ok(())
}

/// One at a time is 1/RTT; a batch of 100 is two round trips (Nagle); a job takes two of each of a
/// worker's connections, FETCH and ACK.
fn baselines(report: &Report) -> Vec<Check> {
    let mut checks = Vec::new();
    for network in &report.networks {
        let (name, round_trip) = (&network.network.name, network.round_trip_ms / 1e3);
        let figure = |scenario: &str| -> Option<&Summary> {
            report.figure(name, scenario, Via::Crate)?.summary.as_ref()
        };
        let rate = |scenario: &str| figure(scenario).map(|summary| summary.jobs_per_second.median);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_outside_its_bounds_or_not_measured_is_a_miss() {
        let check =
            |found| Check { what: "x".into(), found, at_least: 0.5, at_most: f64::INFINITY };
        assert!(check(Some(0.5)).is_met() && check(Some(9.0)).is_met());
        assert!(
            !check(Some(0.49)).is_met() && !check(None).is_met() && !check(Some(f64::NAN)).is_met()
        );
        assert!(!render(&[]).1, "nothing measured is nothing reached");
        assert!(render(&[check(None)]).0.contains("MISSED"));
    }
}
