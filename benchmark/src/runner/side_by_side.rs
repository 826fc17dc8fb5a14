//! Servers side by side: all of them run at once, and take turns under the same raw load. In a
//! report each server stands as a network of its own.

mod servers;
mod sync;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::empty_figures;
use super::load::run_all_stored;
use super::plan::Plan;
use super::watch::Watch;
use crate::distance::{Distance, Side};
use crate::network::Network;
use crate::part::order::{Event, LoadReport, Order, RawOrder, RawWork, Via};
use crate::process::Part;
use crate::processor::{self, Usage};
use crate::progress::Progress;
use crate::report::{MeasuredNetwork, Report, Run};
use crate::scenario::{Kind, Parameters, Scenario};
use crate::stack::{READY_WITHIN, ServerKind, ready};
use servers::Server;

/// The embedded broker.
pub(crate) const BROKER: &str = "broker";
/// The server that keeps nothing.
pub(crate) const NULL: &str = "null";
/// A real Faktory.
pub(crate) const FAKTORY: &str = "faktory";
/// No server: the file system of the broker's folder.
pub(crate) const DISK: &str = "disk";

/// The longest time of a load beyond its own length.
const PATIENCE: Duration = Duration::from_secs(120);

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
    for repetition in 1..=plan.parameters.repetitions {
        for scenario in &plan.scenarios {
            for network in in_turn(plan, scenario, repetition) {
                progress.measures(&network.name, &scenario.name, Via::Raw.name(), repetition);
                let run = rounds.measure(network, scenario.kind, repetition);
                report.add_runs((&network.name, &scenario.name, Via::Raw), [run]);
                progress.one_done();
            }
        }
    }
    report.networks = plan.networks.iter().map(|network| rounds.measured(network)).collect();
    report.took_seconds = began.elapsed().as_secs_f64();
    Ok(())
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
            BROKER => servers.push(Server::broker(distance)?),
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
    fn measure(&mut self, network: &Network, kind: Kind, repetition: usize) -> Run {
        let begin = Instant::now();
        let lasts = self.parameters.duration;
        let result = match kind {
            Kind::Sync => sync::measure(lasts),
            Kind::Raw { work, connections, depth } => {
                self.under_load(&network.name, work, connections, depth)
            }
            other => Err(anyhow::anyhow!("{other:?} is no raw load")),
        };
        let mut run = result
            .unwrap_or_else(|error| Run { failures: vec![format!("{error:#}")], ..Run::default() });
        run.repetition = repetition;
        run.took_seconds = begin.elapsed().as_secs_f64();
        run
    }

    fn under_load(
        &mut self,
        name: &str,
        work: RawWork,
        connections: usize,
        depth: usize,
    ) -> anyhow::Result<Run> {
        // A server that still works on what it was sent before would disturb the others.
        let ids: Vec<u32> = self.servers.iter().map(Server::id).collect();
        let mut servers = self.servers.iter_mut();
        let server = servers.find(|server| server.name == name).context("no such server")?;
        let (warm_up, lasts) = (self.parameters.warm_up, self.parameters.duration);
        server.empty()?;
        let filled = match work {
            RawWork::FetchAck => server.fill(&self.distance, warm_up + lasts)?,
            RawWork::Push | RawWork::PushBatch(_) => 0,
        };
        processor::wait_until_idle(&ids);
        let order = RawOrder {
            server: server.address.clone(),
            work,
            connections,
            depth,
            warm_up,
            lasts,
            // A FETCH too many would wait for a job.
            most: (filled > 0).then_some(filled),
        };
        let loaded = load(&self.distance, Some(server.id()), order)?;
        let mut run = run_all_stored(&loaded.report);
        loaded.watch.note(&loaded.after, &mut run);
        server.look(work, filled, &mut run)?;
        Ok(run)
    }

    fn measured(&self, network: &Network) -> MeasuredNetwork {
        let server = self.servers.iter().find(|server| server.name == network.name);
        let round_trip = server.and_then(|server| server.round_trip(&self.distance));
        let round_trip_ms = round_trip.unwrap_or_default().as_secs_f64() * 1e3;
        MeasuredNetwork { network: network.clone(), round_trip_ms }
    }
}

/// A load that has ended, with the resources that were used in its measured time.
struct Loaded {
    report: LoadReport,
    watch: Watch,
    after: Usage,
}

/// Puts a raw load on a server, and watches the process with this id.
fn load(distance: &Distance, server: Option<u32>, order: RawOrder) -> anyhow::Result<Loaded> {
    let (warm_up, lasts) = (order.warm_up, order.lasts);
    let part = Part::start(distance, Side::Near, &Order::Raw(order))?;
    ready(&part)?;
    match part.next(warm_up + READY_WITHIN)? {
        Event::Measuring => {}
        other => return part.unexpected(&other),
    }
    let mut processes = vec![("client", part.id())];
    processes.extend(server.map(|id| ("server", id)));
    let watch = Watch::over(processes);
    match part.next(lasts + PATIENCE)? {
        Event::Measured => {}
        other => return part.unexpected(&other),
    }
    let after = watch.end();
    match part.next(PATIENCE)? {
        Event::Loaded(report) => Ok(Loaded { report: *report, watch, after }),
        other => part.unexpected(&other),
    }
}
