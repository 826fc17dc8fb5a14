//! Carries out a plan: goes through repetitions, networks and scenarios, and measures each.

mod arrivals;
mod chaos;
mod cut;
mod endings;
mod estimate;
mod handlers;
mod hostile;
mod idle;
mod load;
mod measurement;
mod plan;
mod posting;
pub(crate) mod side_by_side;
mod timeline;
mod trouble;
mod watch;
mod worker;
mod working;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::distance::Congestion;
use crate::measure::Spread;
use crate::network::Network;
use crate::part::order::Via;
use crate::progress::Progress;
use crate::report::{Figure, MeasuredNetwork, Report, Run};
use crate::scenario::{Kind, Parameters, Scenario};
use crate::stack::{ServerKind, Stack};

pub(crate) use plan::Plan;

/// How often a void run is measured again.
const VOID_RETRIES: usize = 2;

/// Measures everything in the plan: each repetition goes through all networks, each with a stack of
/// its own.
pub(crate) fn run(plan: &Plan, report: &mut Report, progress: &Progress) -> anyhow::Result<()> {
    let began = Instant::now();
    report.figures.extend(empty_figures(plan));
    let mut rounds = Rounds { plan, progress, round_trips: BTreeMap::new(), queues: 0 };
    for repetition in 1..=plan.parameters.repetitions {
        for network in plan.networks.iter().filter(|network| !plan.measurements(network).is_empty())
        {
            rounds.measure_network(report, network, repetition)?;
        }
    }
    report.networks = rounds.measured_networks();
    report.took_seconds = began.elapsed().as_secs_f64();
    Ok(())
}

/// The plan's figures, before their runs.
fn empty_figures(plan: &Plan) -> Vec<Figure> {
    let of = |network: &Network| {
        let measurements = plan.measurements(network).into_iter();
        measurements
            .map(|(scenario, via)| Figure {
                network: network.name.clone(),
                scenario: scenario.name.clone(),
                title: scenario.title.clone(),
                focus: scenario.focus,
                via,
                summary: None,
                runs: Vec::new(),
            })
            .collect::<Vec<_>>()
    };
    plan.networks.iter().flat_map(of).collect()
}

/// The repetitions of a plan, with the data that they share.
struct Rounds<'a> {
    plan: &'a Plan,
    progress: &'a Progress,
    /// The measured round trips by network, in milliseconds.
    round_trips: BTreeMap<&'a str, Vec<f64>>,
    /// The number of queues so far.
    queues: usize,
}

impl<'a> Rounds<'a> {
    fn measure_network(
        &mut self,
        report: &mut Report,
        network: &'a Network,
        repetition: usize,
    ) -> anyhow::Result<()> {
        let plan = self.plan;
        let mut stack = start(plan, network, repetition)?;
        report.work_server = stack.version.clone();
        report.distance = stack.means(plan.proxy_because.as_deref());
        report.congestion = stack.distance.congestion();
        if let Some(round_trip) = stack.round_trip {
            let found = self.round_trips.entry(&network.name).or_default();
            found.push(round_trip.as_secs_f64() * 1e3);
        }
        for (scenario, via) in plan.measurements_of(network, repetition) {
            let mut runs = Vec::new();
            for _ in 0..=VOID_RETRIES {
                self.progress.measures(&network.name, &scenario.name, via.name(), repetition);
                let run = self.measure_once(&mut stack, network, scenario, via, repetition)?;
                let is_void = !run.void.is_empty();
                runs.push(run);
                if !is_void {
                    break;
                }
            }
            report.add_runs((&network.name, &scenario.name, via), runs);
            self.progress.one_done();
        }
        Ok(())
    }

    /// One run. The stack is started again where the run has left it in an unknown state.
    fn measure_once(
        &mut self,
        stack: &mut Stack,
        network: &Network,
        scenario: &Scenario,
        via: Via,
        repetition: usize,
    ) -> anyhow::Result<Run> {
        let plan = self.plan;
        self.queues += 1;
        let queue = queue_name(plan, scenario, self.queues);
        stack.wait_until_idle();
        let begin = Instant::now();
        let mut run =
            match measurement::measure(&plan.parameters, stack, scenario.kind, via, &queue) {
                Ok(run) => run,
                Err(error) => {
                    // The jobs that are left in that stack would disturb the next measurements.
                    *stack = start(plan, network, repetition)?;
                    // A server that is not the benchmark's own still has these jobs.
                    stack.clear_away(&queue)?;
                    Run { failures: vec![format!("{error:#}")], ..Run::default() }
                }
            };
        if matches!(scenario.kind, Kind::Outage { .. } | Kind::Hostile { .. }) {
            *stack = start(plan, network, repetition)?;
        }
        run.repetition = repetition;
        run.took_seconds = begin.elapsed().as_secs_f64();
        Ok(run)
    }

    /// The networks with their round trips: as measured, or else as asked for.
    fn measured_networks(mut self) -> Vec<MeasuredNetwork> {
        let measured = |network: &Network| {
            let found = self.round_trips.remove(network.name.as_str()).unwrap_or_default();
            let round_trip_ms = Spread::of(found)
                .map_or(network.round_trip().as_secs_f64() * 1e3, |spread| spread.median);
            MeasuredNetwork { network: network.clone(), round_trip_ms }
        };
        self.plan.networks.iter().map(measured).collect()
    }
}

/// The queue of a measurement. On the benchmark's own servers, jobs that are only enqueued go into
/// the default queue, which needs no name on the wire, as with most users. Jobs that are run, and
/// all jobs on a server that others use too, have a queue of their own.
fn queue_name(plan: &Plan, scenario: &Scenario, number: usize) -> String {
    match (&plan.kind, scenario.kind) {
        (
            ServerKind::Broker | ServerKind::Faktory(_),
            Kind::Enqueue { .. } | Kind::AfterReady { .. } | Kind::Overload { .. },
        ) => "default".into(),
        _ => format!("benchmark-{}-{number}", std::process::id()),
    }
}

/// Jobs a second of one scenario of the plan, measured once. A gate chooses its rates by this.
pub(crate) fn rate(
    plan: &Plan,
    network: &str,
    scenario: &str,
    via: Via,
    lasts: Duration,
) -> anyhow::Result<f64> {
    let found = (
        plan.networks.iter().find(|one| one.name == network),
        plan.scenarios.iter().find(|one| one.name == scenario),
    );
    let (Some(network), Some(scenario)) = found else {
        bail!("the plan has no {scenario} on {network}")
    };
    let Kind::Enqueue { batch, pace } = scenario.kind else {
        bail!("{} has no rate", scenario.name)
    };
    let parameters = Parameters { duration: lasts, ..plan.parameters.clone() };
    let mut stack = start(plan, network, 0)?;
    let run = posting::enqueue(&parameters, &mut stack, via, "default", batch, pace)?;
    anyhow::ensure!(run.failures.is_empty(), "{}: {}", scenario.name, run.failures.join("; "));
    anyhow::ensure!(run.jobs > 0, "{}: {}", scenario.name, run.void.join("; "));
    Ok(run.jobs_per_second)
}

/// Starts a stack; the repetition seeds the chance of the emulated link.
fn start(plan: &Plan, network: &Network, repetition: usize) -> anyhow::Result<Stack> {
    let seed = repetition as u64;
    let connections = network.connections.unwrap_or(plan.parameters.connections);
    let near = network.near_congestion.clone().or_else(|| plan.congestion.near.clone());
    let congestion = Congestion { near, far: plan.congestion.far.clone() };
    Stack::start(&plan.kind, network, &congestion, connections, seed, plan.proxy_because.as_deref())
}
