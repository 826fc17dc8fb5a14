//! From arguments to a plan: parameters, work server, networks, scenarios and ways.

use std::time::Duration;

use anyhow::{Context, bail};
use service_runtime::WorkServerUrl;

use crate::arguments::RunArguments;
use crate::distance::{Congestion, Distance};
use crate::network::{self, Network};
use crate::part::order::{Server, Via};
use crate::runner::Plan;
use crate::scenario::{self, Parameters, Scenario};
use crate::stack::ServerKind;

/// The networks of the tour.
const TOUR_NETWORKS: [&str; 4] = ["none", "lan", "wan", "wireless"];
/// The scenarios of the tour.
const TOUR_SCENARIOS: [&str; 6] =
    ["headline-singles", "headline-batches", "single", "sustained", "work-noop-15", "end-to-end"];

fn parameters(arguments: &RunArguments) -> Parameters {
    let mut parameters = Parameters::default();
    if !arguments.full && !arguments.little {
        parameters.repetitions = 2;
        parameters.duration = Duration::from_secs(1);
        parameters.warm_up = Duration::from_millis(400);
    }
    if arguments.little {
        parameters.repetitions = 1;
        parameters.warm_up = Duration::from_millis(100);
        parameters.duration = Duration::from_millis(400);
        parameters.at_most = Duration::from_secs(2);
        parameters.scale = 0.02;
        parameters.clients = 10;
        parameters.sustained_clients = 4;
        parameters.rate = 100.0;
    }
    parameters.repetitions = arguments.repetitions.unwrap_or(parameters.repetitions).max(1);
    parameters.duration = arguments.duration.unwrap_or(parameters.duration);
    parameters.warm_up = arguments.warm_up.unwrap_or(parameters.warm_up);
    parameters.clients = arguments.clients.unwrap_or(parameters.clients).max(1);
    parameters.sustained_clients =
        arguments.sustained_clients.unwrap_or(parameters.sustained_clients).max(1);
    parameters.queued = arguments.jobs;
    parameters.rate = arguments.rate.unwrap_or(parameters.rate);
    parameters.connections = arguments.connections.unwrap_or(parameters.connections).max(1);
    parameters
}

/// The plan for these arguments.
pub(super) fn plan(arguments: &RunArguments) -> anyhow::Result<Plan> {
    let parameters = parameters(arguments);
    anyhow::ensure!(!parameters.duration.is_zero(), "--duration must be longer than 0");
    anyhow::ensure!(
        parameters.rate > 0.0 && parameters.rate <= 1e6,
        "--rate must be above 0 and at most 1000000"
    );
    let kind = server_kind(arguments)?;
    let scenarios = scenarios(arguments, &parameters)?;
    let networks = networks(arguments, &kind)?;
    let vias = arguments.via.iter().map(|way| via(way)).collect::<anyhow::Result<Vec<_>>>()?;
    let congestion = Congestion {
        near: arguments.near_congestion.clone(),
        far: arguments.far_congestion.clone(),
    };
    let proxy_because = proxy_because(arguments, &kind, networks.first(), &congestion)?;
    Ok(Plan { kind, networks, scenarios, vias, parameters, congestion, proxy_because, pick: None })
}

fn scenarios(arguments: &RunArguments, parameters: &Parameters) -> anyhow::Result<Vec<Scenario>> {
    let all = scenario::all(parameters);
    match arguments.scenario.as_slice() {
        [] if arguments.full || arguments.little => Ok(all),
        [] => scenario::named(&all, &TOUR_SCENARIOS.map(Into::into)),
        names => scenario::named(&all, names),
    }
}

fn networks(arguments: &RunArguments, kind: &ServerKind) -> anyhow::Result<Vec<Network>> {
    match (kind, arguments.network.as_slice()) {
        (ServerKind::Given { .. }, []) => {
            Ok(vec![Network::with_round_trip("given", "the network as it is", Duration::ZERO)])
        }
        (ServerKind::Given { .. }, _) => {
            bail!("--network can't be chosen with --faktory: the network is what it is")
        }
        (_, []) if arguments.full => Ok(network::all()),
        (_, []) if arguments.little => network::named(&["local".into()]),
        (_, []) => network::named(&TOUR_NETWORKS.map(Into::into)),
        (_, names) => network::named(names),
    }
}

/// The reason to replace the emulator by a proxy: the user asked for the proxy, or this machine
/// allows no namespaces. A congestion control that the user chose needs the emulator.
fn proxy_because(
    arguments: &RunArguments,
    kind: &ServerKind,
    network: Option<&Network>,
    congestion: &Congestion,
) -> anyhow::Result<Option<String>> {
    match kind {
        ServerKind::Given { .. } => return Ok(None),
        ServerKind::Broker | ServerKind::Faktory(_) => {}
    }
    if arguments.proxy {
        return Ok(Some("asked for".to_owned()));
    }
    match network.map(|network| Distance::make(network, congestion, 0, None)) {
        Some(Err(error)) if *congestion == Congestion::default() => Ok(Some(format!("{error:#}"))),
        Some(Err(error)) => Err(error),
        Some(Ok(_)) | None => Ok(None),
    }
}

fn via(name: &str) -> anyhow::Result<Via> {
    Via::named(name).with_context(|| {
        format!("--via: there is no way {name:?}; there are http, link, worker, crate and raw")
    })
}

fn server_kind(arguments: &RunArguments) -> anyhow::Result<ServerKind> {
    if let Some(url) = &arguments.faktory {
        let url =
            WorkServerUrl::parse(url).map_err(|problem| anyhow::anyhow!("--faktory: {problem}"))?;
        let server = Server {
            host: url.host,
            port: url.port,
            password: url.password.map(|password| password.reveal().to_owned()),
        };
        return Ok(ServerKind::Given { api: arguments.api.clone(), server });
    }
    let Some(program) = &arguments.faktory_bin else { return Ok(ServerKind::Broker) };
    let program = program
        .canonicalize()
        .with_context(|| format!("--faktory-bin: {} can't be found", program.display()))?;
    Ok(ServerKind::Faktory(program))
}
