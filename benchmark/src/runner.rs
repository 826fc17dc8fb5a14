//! Goes through scenarios, networks and repetitions, and measures each.

mod endings;
mod posting;
mod trouble;
mod watch;
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
use crate::scenario::{Kind, Pace, Parameters, Scenario};
use crate::stack::{ServerKind, Stack};

/// An API is started and ready within so long, without the distance.
const API_STARTS: Duration = Duration::from_millis(500);
/// How often a void run is measured again.
const VOID_RETRIES: usize = 2;
/// The longest for one measurement beyond what it is to take.
const PATIENCE: Duration = Duration::from_secs(150);

/// What is to be measured.
pub(crate) struct Plan {
    pub(crate) kind: ServerKind,
    pub(crate) networks: Vec<Network>,
    pub(crate) scenarios: Vec<Scenario>,
    /// Only these ways; all where empty.
    pub(crate) vias: Vec<Via>,
    pub(crate) parameters: Parameters,
    pub(crate) congestion: Congestion,
    /// Why a proxy stands in for the emulator, where it does.
    pub(crate) proxy_because: Option<String>,
    /// Only what this picks, by network, scenario and way; everything where there is none.
    pub(crate) pick: Option<fn(&str, &str, Via) -> bool>,
}

impl Plan {
    fn vias(&self, scenario: &Scenario) -> Vec<Via> {
        let (has_api, is_given) = match &self.kind {
            ServerKind::Given { api, .. } => (api.is_some(), true),
            ServerKind::Broker | ServerKind::Faktory(_) => (true, false),
        };
        let possible = |via: &&Via| {
            (**via != Via::Http || has_api || !is_given)
                && (self.vias.is_empty() || self.vias.contains(via))
        };
        scenario.vias().iter().filter(possible).copied().collect()
    }

    /// Every measurement of one repetition on one network.
    fn measurements(&self, network: &Network) -> Vec<(&Scenario, Via)> {
        let all = self
            .scenarios
            .iter()
            .flat_map(|scenario| self.vias(scenario).into_iter().map(move |via| (scenario, via)));
        all.filter(|(scenario, via)| {
            self.pick.is_none_or(|pick| pick(&network.name, &scenario.name, *via))
        })
        .collect()
    }

    /// The same in the order of a repetition: every other one has the ways of each scenario the
    /// other way round, so that none always comes after another.
    fn measurements_of(&self, network: &Network, repetition: usize) -> Vec<(&Scenario, Via)> {
        let mut measurements = self.measurements(network);
        if repetition.is_multiple_of(2) {
            for same_scenario in
                measurements.chunk_by_mut(|(one, _), (other, _)| one.name == other.name)
            {
                same_scenario.reverse();
            }
        }
        measurements
    }

    pub(crate) fn len(&self) -> usize {
        let of = |network: &Network| self.measurements(network).len();
        self.networks.iter().map(of).sum::<usize>() * self.parameters.repetitions
    }

    /// Roughly how long it takes: what is asked for, processes that start, queues that are looked
    /// at, and the baseline's round trips.
    pub(crate) fn estimate(&self) -> Duration {
        let parameters = &self.parameters;
        let one = |network: &Network, scenario: &Scenario, via: Via| {
            let round_trip = network.round_trip();
            let measured = match scenario.kind {
                Kind::Enqueue { pace: Pace::Jobs { .. }, .. } if !via.is_baseline() => {
                    round_trip * 10
                }
                Kind::Enqueue { pace: Pace::Jobs { .. }, .. } => {
                    parameters.at_most.min(round_trip * 20)
                }
                Kind::Enqueue { pace: Pace::Stream { count }, .. } => {
                    Duration::from_secs(count / 50_000)
                }
                Kind::AfterReady { requests, times, .. } => {
                    (round_trip * u32::try_from(requests).unwrap_or(u32::MAX) + API_STARTS)
                        * u32::try_from(times).unwrap_or(u32::MAX)
                }
                Kind::Enqueue { .. }
                | Kind::Overload { .. }
                | Kind::Outage { .. }
                | Kind::Work { .. }
                | Kind::Idle { .. }
                | Kind::Payloads { .. }
                | Kind::Hanging { .. }
                | Kind::Busy { .. }
                | Kind::EndToEnd { .. } => parameters.duration,
                Kind::Queues { jobs, .. } => Duration::from_secs(jobs / 50_000),
                Kind::Posting { cut, .. } if cut.is_zero() => parameters.duration,
                Kind::Posting { cut, .. } => trouble::BEFORE_CUT + cut + trouble::AFTER_CUT,
                Kind::Silence { lasts, times } => lasts * times,
                Kind::Ending { times, dry, .. } => {
                    Duration::from_secs(if dry { 30 } else { 5 })
                        * u32::try_from(times).unwrap_or(u32::MAX)
                }
                Kind::Cut { lasts, .. } => lasts + Duration::from_secs(35),
                Kind::Chaos { lasts, .. } => lasts + Duration::from_secs(200),
                Kind::Sharing { workers, concurrency, jobs, takes } => {
                    takes
                        * u32::try_from(jobs / (workers * concurrency).max(1) as u64)
                            .unwrap_or(u32::MAX)
                }
            };
            let connecting = match scenario.kind {
                Kind::Work { concurrency, .. } | Kind::EndToEnd { concurrency, .. }
                    if via.is_baseline() =>
                {
                    round_trip * 3 * u32::try_from(concurrency).unwrap_or(0)
                }
                Kind::Work { .. }
                | Kind::Idle { .. }
                | Kind::Sharing { .. }
                | Kind::Ending { .. }
                | Kind::Chaos { .. }
                | Kind::Cut { .. }
                | Kind::Posting { .. }
                | Kind::Silence { .. }
                | Kind::Payloads { .. }
                | Kind::Queues { .. }
                | Kind::Hanging { .. }
                | Kind::Busy { .. }
                | Kind::EndToEnd { .. }
                | Kind::Enqueue { .. }
                | Kind::AfterReady { .. }
                | Kind::Overload { .. }
                | Kind::Outage { .. } => round_trip * 6,
            };
            measured + connecting + parameters.warm_up + Duration::from_millis(700)
        };
        let of = |network: &Network| {
            self.measurements(network)
                .iter()
                .map(|(scenario, via)| one(network, scenario, *via))
                .sum::<Duration>()
        };
        let round: Duration = self.networks.iter().map(of).sum();
        round * u32::try_from(parameters.repetitions).unwrap_or(u32::MAX)
    }
}

/// Measures everything in the plan: each repetition goes through all networks, each with a stack of
/// its own.
pub(crate) fn run(plan: &Plan, report: &mut Report, progress: &Progress) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut round_trips: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut queues = 0;
    for network in &plan.networks {
        for (scenario, via) in plan.measurements(network) {
            report.figures.push(Figure {
                network: network.name.clone(),
                scenario: scenario.name.clone(),
                title: scenario.title.clone(),
                focus: scenario.focus,
                via,
                summary: None,
                runs: Vec::new(),
            });
        }
    }
    for repetition in 1..=plan.parameters.repetitions {
        for network in plan.networks.iter().filter(|network| !plan.measurements(network).is_empty())
        {
            let mut stack = start(plan, network, repetition)?;
            report.work_server = stack.version.clone();
            report.distance = stack.means(plan.proxy_because.as_deref());
            report.congestion = stack.distance.congestion();
            if let Some(round_trip) = stack.round_trip {
                round_trips.entry(&network.name).or_default().push(round_trip.as_secs_f64() * 1e3);
            }
            for (scenario, via) in plan.measurements_of(network, repetition) {
                let mut runs = Vec::new();
                for _ in 0..=VOID_RETRIES {
                    progress.measures(&network.name, &scenario.name, via.name(), repetition);
                    queues += 1;
                    let queue = queue_name(plan, scenario, queues);
                    stack.wait_until_idle();
                    let begin = Instant::now();
                    let mut run = match measure(plan, &mut stack, scenario, via, &queue) {
                        Ok(run) => run,
                        Err(error) => {
                            // What is left in that stack would disturb the others.
                            stack = start(plan, network, repetition)?;
                            // In a server that is not ours it would stay.
                            stack.clear_away(&queue)?;
                            Run { failures: vec![format!("{error:#}")], ..Run::default() }
                        }
                    };
                    if matches!(scenario.kind, Kind::Outage { .. }) {
                        stack = start(plan, network, repetition)?;
                    }
                    run.repetition = repetition;
                    run.took_seconds = begin.elapsed().as_secs_f64();
                    let is_void = !run.void.is_empty();
                    runs.push(run);
                    if !is_void {
                        break;
                    }
                }
                let mut figures = report.figures.iter_mut();
                if let Some(figure) = figures.find(|figure| {
                    figure.network == network.name
                        && figure.scenario == scenario.name
                        && figure.via == via
                }) {
                    figure.runs.extend(runs);
                    figure.summarise();
                }
                progress.one_done();
            }
        }
    }
    report.networks = plan
        .networks
        .iter()
        .map(|network| {
            let found = round_trips.remove(network.name.as_str()).unwrap_or_default();
            let round_trip_ms = Spread::of(found)
                .map_or(network.round_trip().as_secs_f64() * 1e3, |spread| spread.median);
            MeasuredNetwork { network: network.clone(), round_trip_ms }
        })
        .collect();
    report.took_seconds = began.elapsed().as_secs_f64();
    Ok(())
}

/// On our own servers jobs are only enqueued into the queue that needs no name on the wire, as most
/// users do; what is run, and what is done on servers that others use too, has a queue of its own.
fn queue_name(plan: &Plan, scenario: &Scenario, number: usize) -> String {
    match (&plan.kind, scenario.kind) {
        (
            ServerKind::Broker | ServerKind::Faktory(_),
            Kind::Enqueue { .. } | Kind::AfterReady { .. } | Kind::Overload { .. },
        ) => "default".into(),
        _ => format!("benchmark-{}-{number}", std::process::id()),
    }
}

/// Jobs a second of one scenario of the plan, measured once, for a gate's settings.
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
    Ok(run.jobs_per_second)
}

fn start(plan: &Plan, network: &Network, repetition: usize) -> anyhow::Result<Stack> {
    let seed = repetition as u64;
    let connections = network.connections.unwrap_or(plan.parameters.connections);
    let near = network.near_congestion.clone().or_else(|| plan.congestion.near.clone());
    let congestion = Congestion { near, far: plan.congestion.far.clone() };
    Stack::start(&plan.kind, network, &congestion, connections, seed, plan.proxy_because.as_deref())
}

fn measure(
    plan: &Plan,
    stack: &mut Stack,
    scenario: &Scenario,
    via: Via,
    queue: &str,
) -> anyhow::Result<Run> {
    let parameters = &plan.parameters;
    match scenario.kind {
        Kind::Enqueue { batch, pace } => {
            posting::enqueue(parameters, stack, via, queue, batch, pace)
        }
        Kind::AfterReady { batch, requests, times } => {
            posting::after_ready(parameters, stack, queue, batch, requests, times)
        }
        Kind::Overload { batch, per_second } => {
            trouble::overload(parameters, stack, queue, batch, per_second)
        }
        Kind::Outage { clients } => trouble::outage(parameters, stack, queue, clients),
        Kind::Work { concurrency, mix } => {
            working::work(parameters, stack, via, queue, concurrency, mix)
        }
        Kind::Idle { concurrency, jobs } => {
            working::idle(parameters, stack, queue, concurrency, jobs)
        }
        Kind::Sharing { workers, concurrency, jobs, takes } => {
            working::sharing(parameters, stack, queue, workers, concurrency, jobs, takes)
        }
        Kind::Ending { concurrency, times, dry } => {
            endings::endings(stack, queue, concurrency, times, dry)
        }
        Kind::Chaos { workers, concurrency, lasts } => {
            endings::chaos(stack, queue, workers, concurrency, lasts)
        }
        Kind::Cut { concurrency, takes, lasts } => {
            working::cut(parameters, stack, queue, concurrency, takes, lasts)
        }
        Kind::EndToEnd { per_second, concurrency } => {
            working::end_to_end(parameters, stack, via, queue, per_second, concurrency)
        }
        Kind::Posting { clients, cut } => {
            trouble::posting(parameters, stack, via, queue, clients, cut)
        }
        Kind::Silence { lasts, times } => {
            trouble::silence(parameters, stack, via, queue, lasts, times)
        }
        Kind::Payloads { clients, batch } => {
            posting::payloads(parameters, stack, queue, clients, batch)
        }
        Kind::Queues { jobs, queues } => posting::queues(parameters, stack, queue, jobs, queues),
        Kind::Hanging { concurrency } => working::hanging(parameters, stack, queue, concurrency),
        Kind::Busy { concurrency, takes } => {
            working::busy(parameters, stack, queue, concurrency, takes)
        }
    }
}
