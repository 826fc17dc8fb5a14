//! Servers side by side: all of them run at once, and take turns under the same raw load. In a
//! report each server stands as a network of its own.

mod beside;
mod filling;
mod once;
mod raw_load;
mod servers;
mod sync;

use std::path::Path;
use std::time::Instant;

use anyhow::Context;

use super::load::run_all_stored;
use super::plan::Plan;
use super::{VOID_RETRIES, empty_figures};
use crate::distance::Distance;
use crate::network::Network;
use crate::part::order::{RawOrder, RawWork, Via};
use crate::processor;
use crate::progress::Progress;
use crate::report::{MeasuredNetwork, Report, Run};
use crate::scenario::{Kind, Parameters, Scenario};
use crate::stack::ServerKind;
use raw_load::load;
use servers::{Level, Server};

/// The embedded broker.
pub(crate) const BROKER: &str = "broker";
/// The server that keeps nothing.
pub(crate) const NULL: &str = "null";
/// A real Faktory.
pub(crate) const FAKTORY: &str = "faktory";
/// The embedded broker with few queued jobs.
pub(crate) const SHALLOW: &str = "shallow";
/// The embedded broker with as many queued jobs as the plan's parameters say.
pub(crate) const DEEP: &str = "deep";
/// No server: the file system of the broker's folder.
pub(crate) const DISK: &str = "disk";

/// The jobs that are queued on [`SHALLOW`].
pub(crate) const FEW: u64 = 10_000;

/// With more connections than this, a measurement takes this many times as long.
const MANY: usize = 100;
const LONGER: u32 = 4;

/// Measures the plan: each round goes through all scenarios, and each scenario through all servers.
pub(crate) fn run(plan: &Plan, report: &mut Report, progress: &Progress) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut distance = Distance::Given;
    let faktory = match &plan.kind {
        ServerKind::Faktory(program) => Some(program.as_path()),
        ServerKind::Broker | ServerKind::Given { .. } => None,
    };
    let servers = servers(plan, &mut distance, faktory)?;
    report.distance = distance.means(None);
    report.work_server = servers.iter().filter_map(|server| server.version.clone()).fold(
        String::new(),
        |all, version| {
            if all.is_empty() { version } else { format!("{all}; {version}") }
        },
    );
    report.figures.extend(empty_figures(plan));
    let mut rounds = Rounds { parameters: &plan.parameters, distance, servers };
    rounds.fill()?;
    for repetition in 1..=plan.parameters.repetitions {
        for scenario in &plan.scenarios {
            if !is_time_for(scenario.kind, repetition, plan.parameters.repetitions) {
                continue;
            }
            for network in in_turn(plan, scenario, repetition) {
                progress.measures(&network.name, &scenario.name, Via::Raw.name(), repetition);
                let runs = rounds.measure(network, scenario.kind, repetition);
                report.add_runs((&network.name, &scenario.name, Via::Raw), runs);
                progress.one_done();
            }
        }
    }
    report.networks = plan.networks.iter().map(|network| rounds.measured(network)).collect();
    report.took_seconds = began.elapsed().as_secs_f64();
    Ok(())
}

/// A server is filled before all repetitions. What it has to recover from comes once, at the end.
const fn is_time_for(kind: Kind, repetition: usize, repetitions: usize) -> bool {
    match kind {
        Kind::Fill => repetition == 1,
        Kind::Restart | Kind::Due { .. } | Kind::Beside { .. } => repetition == repetitions,
        _ => true,
    }
}

/// Starts the servers of the plan.
fn servers(
    plan: &Plan,
    distance: &mut Distance,
    faktory: Option<&Path>,
) -> anyhow::Result<Vec<Server>> {
    let mut servers = Vec::new();
    for network in &plan.networks {
        match network.name.as_str() {
            BROKER => servers.push(Server::broker(BROKER, distance, Level::Empty)?),
            SHALLOW => servers.push(Server::broker(SHALLOW, distance, Level::Each(FEW))?),
            DEEP => {
                let queued = plan.parameters.queued.unwrap_or(FEW);
                servers.push(Server::broker(DEEP, distance, Level::Kept(queued))?);
            }
            NULL => servers.push(Server::null(distance)?),
            FAKTORY => {
                let program = faktory.context("there is no program of a Faktory")?;
                servers.push(Server::faktory(distance, program)?);
            }
            _ => {}
        }
    }
    Ok(servers)
}

/// The servers on which a scenario is measured; each round begins with another one.
fn in_turn<'a>(plan: &'a Plan, scenario: &Scenario, repetition: usize) -> Vec<&'a Network> {
    let is_measured = |network: &&Network| {
        plan.measurements(network).iter().any(|(one, _)| one.name == scenario.name)
    };
    let mut networks: Vec<&Network> = plan.networks.iter().filter(is_measured).collect();
    let first = repetition % networks.len().max(1);
    networks.rotate_left(first);
    networks
}

struct Rounds<'a> {
    parameters: &'a Parameters,
    distance: Distance,
    servers: Vec<Server>,
}

impl Rounds<'_> {
    /// Measures until a run is not void, a few times at the most.
    fn measure(&mut self, network: &Network, kind: Kind, repetition: usize) -> Vec<Run> {
        let mut runs = Vec::new();
        // A run that is scaled down measures nothing.
        let is_repeatable = !matches!(kind, Kind::Fill | Kind::Beside { .. });
        let retries = if self.parameters.scale < 1.0 || !is_repeatable { 0 } else { VOID_RETRIES };
        for _ in 0..=retries {
            runs.push(self.measure_once(network, kind, repetition));
            if runs.last().is_none_or(|run| run.void.is_empty()) {
                break;
            }
        }
        runs
    }

    /// Fills the servers that are filled once.
    fn fill(&mut self) -> anyhow::Result<()> {
        let Self { servers, distance, .. } = self;
        for server in servers {
            if let Some(jobs) = server.kept() {
                server.depths = filling::fill(server, distance, jobs)?;
            }
        }
        Ok(())
    }

    fn measure_once(&mut self, network: &Network, kind: Kind, repetition: usize) -> Run {
        let begin = Instant::now();
        let mut run = self
            .run_of(&network.name, kind)
            .unwrap_or_else(|error| Run { failures: vec![format!("{error:#}")], ..Run::default() });
        run.repetition = repetition;
        run.took_seconds = begin.elapsed().as_secs_f64();
        run
    }

    fn run_of(&mut self, name: &str, kind: Kind) -> anyhow::Result<Run> {
        let Self { parameters, distance, servers } = self;
        if kind == Kind::Sync {
            return sync::measure(parameters.duration);
        }
        // A server that still works on what it was sent before would disturb the others.
        let ids: Vec<u32> = servers.iter().map(Server::id).collect();
        let mut servers = servers.iter_mut();
        let server = servers.find(|server| server.name == name).context("no such server")?;
        match kind {
            Kind::Raw { work, connections, depth, queues } => {
                // One command of each takes a good part of a second there.
                let longer = if connections > MANY { LONGER } else { 1 };
                let warm_up = parameters.warm_up * longer;
                let lasts = parameters.duration * longer;
                let before = server.prepare(distance, work, warm_up + lasts)?;
                if parameters.scale >= 1.0 {
                    processor::wait_until_idle(&ids);
                }
                let address = server.address.clone();
                let load = RawOrder {
                    connections,
                    depth,
                    warm_up,
                    queues,
                    // A FETCH too many would wait for a job.
                    most: (work == RawWork::FetchAck).then_some(before),
                    ..RawOrder::new(address, work, lasts)
                };
                under_load(server, distance, load, before)
            }
            Kind::Restart => once::restart(server, distance, parameters.duration),
            Kind::Due { jobs } => once::due(server, distance, jobs),
            Kind::Fill => filling::run_of(server),
            Kind::Beside { event, per_second } => {
                if parameters.scale >= 1.0 {
                    processor::wait_until_idle(&ids);
                }
                beside::measure(server, distance, (event, per_second), parameters)
            }
            other => anyhow::bail!("{other:?} is no raw load"),
        }
    }

    fn measured(&self, network: &Network) -> MeasuredNetwork {
        let server = self.servers.iter().find(|server| server.name == network.name);
        let round_trip = server.and_then(|server| server.round_trip(&self.distance));
        let round_trip_ms = round_trip.unwrap_or_default().as_secs_f64() * 1e3;
        MeasuredNetwork { network: network.clone(), round_trip_ms }
    }
}

/// Puts a load on a server that holds `before` jobs.
fn under_load(
    server: &mut Server,
    distance: &Distance,
    order: RawOrder,
    before: u64,
) -> anyhow::Result<Run> {
    let work = order.work;
    let loaded = load(distance, Some(server.id()), order)?;
    let mut run = run_all_stored(&loaded.report);
    loaded.note_use(&mut run);
    server.look(work, before, &mut run)?;
    Ok(run)
}
