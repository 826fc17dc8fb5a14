//! The gate of the advice in `docs/tuning.md`: the effect of each variable when its value is too
//! low or too high.

mod case;
mod checks;
mod figure;
mod measured;
mod setup;

pub(super) use checks::checks;

use crate::runner::Plan;
use crate::stack::ServerKind;
use case::Case;
use measured::{MEASURED, is_measured};

/// The number of connections where a setup names none: the product's default.
const CONNECTIONS: usize = 50;

pub(super) fn prepare(plan: &mut Plan) -> anyhow::Result<()> {
    let is_given = matches!(plan.kind, ServerKind::Given { .. });
    anyhow::ensure!(
        !is_given && plan.proxy_because.is_none(),
        "this gate changes variables and the network: it needs servers and a link of its own"
    );
    plan.networks = MEASURED.iter().map(|(setup, _)| setup.network()).collect();
    plan.scenarios = Case::ALL.iter().map(|case| case.scenario()).collect();
    plan.parameters.connections = CONNECTIONS;
    plan.pick = Some(is_measured);
    plan.vias = Vec::new();
    Ok(())
}

#[cfg(test)]
mod tests {
    use link_emulator::{DirectionCounters, Verdict};

    use super::*;
    use crate::distance::Watched;
    use crate::part::order::{Refused, Via};
    use crate::report::machine::Machine;
    use crate::report::{Figure, Report, Run, Timeline};
    use crate::scenario::{Focus, Parameters};

    /// A run that has every quantity.
    fn run() -> Run {
        let timeline = Timeline { resumed_seconds: Some(1.0), ..Timeline::default() };
        let watched = Watched {
            near_to_far: DirectionCounters::default(),
            far_to_near: DirectionCounters::default(),
            verdict: Verdict::Sound,
        };
        Run {
            handler_share: Some(1.0),
            ready_us: Some(1.0),
            refused: Some(Refused::default()),
            timeline: Some(timeline),
            link: Some(watched),
            processor_us_per_job: [("api".to_owned(), 1.0)].into(),
            resident_bytes: [("server".to_owned(), 1)].into(),
            ..Run::default()
        }
    }

    #[test]
    fn every_check_compares_figures_that_are_measured() {
        let mut report = Report::begin(Machine::this(), Parameters::default(), Vec::new());
        for (setup, cases) in MEASURED {
            let network = setup.network().name;
            for (scenario, via) in
                cases.iter().flat_map(|case| Via::ALL.map(|via| (case.name(), via)))
            {
                if !is_measured(&network, &scenario, via) {
                    continue;
                }
                report.figures.push(Figure {
                    network: network.clone(),
                    scenario,
                    title: String::new(),
                    focus: Focus::Latency,
                    via,
                    summary: None,
                    runs: vec![run()],
                });
            }
        }
        for check in checks(&report) {
            assert!(check.found.is_some(), "{}", check.what);
        }
    }

    #[test]
    fn every_setup_has_a_name_of_its_own_and_only_variables_of_the_product() {
        for (place, (setup, cases)) in MEASURED.iter().enumerate() {
            let network = setup.network();
            assert!(!cases.is_empty(), "{}", network.name);
            for (other, _) in MEASURED.iter().skip(place + 1) {
                assert_ne!(other.network().name, network.name);
            }
            let is_known =
                |name: &String| service_runtime::variables().any(|variable| variable.name == name);
            assert!(network.variables.keys().all(is_known), "{}", network.name);
        }
    }

    #[test]
    fn every_measured_case_is_among_the_scenarios_and_names_are_different() {
        for (_, cases) in MEASURED {
            assert!(cases.iter().all(|case| Case::ALL.contains(case)), "{cases:?}");
        }
        let names: std::collections::BTreeSet<_> =
            Case::ALL.iter().map(|case| case.name()).collect();
        assert_eq!(names.len(), Case::ALL.len());
    }
}
