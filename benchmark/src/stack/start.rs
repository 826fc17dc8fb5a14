//! The start of a stack's processes, and the addresses at which they meet.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::Context;

use super::kind::ServerKind;
use crate::distance::{Distance, Side};
use crate::network::Network;
use crate::part::clock::now_us;
use crate::part::order::{ApiOrder, BrakeOrder, BrokerOrder, Event, FaktoryOrder, Order, Server};
use crate::process::Part;

/// The longest time until a process is ready.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(60);

/// The password of a guarded work server.
const PASSWORD: &str = "benchmark";

/// Waits until a part is ready; a server tells the address at which it listens.
pub(crate) fn ready(part: &Part) -> anyhow::Result<Option<SocketAddr>> {
    match part.next(READY_WITHIN)? {
        Event::Ready(address) => Ok(address),
        other => part.unexpected(&other),
    }
}

/// The work server of a stack, with the processes that belong to it.
pub(super) struct WorkServer {
    pub(super) process: Option<Part>,
    pub(super) brake: Option<Part>,
    /// The work server as the near side reaches it, through the brake where there is one.
    pub(super) from_near: Server,
    /// The work server as the far side reaches it.
    pub(super) from_far: Server,
}

/// Starts a work server on the far side, or takes the given one.
pub(super) fn work_server(
    kind: &ServerKind,
    distance: &mut Distance,
    network: &Network,
) -> anyhow::Result<WorkServer> {
    let password = network.guarded.then(|| PASSWORD.to_owned());
    let order = match kind {
        ServerKind::Broker => {
            let (bind, password) = (distance.far_bind()?, password.clone());
            Order::Broker(BrokerOrder { bind, password, data: None })
        }
        ServerKind::Faktory(program) => {
            let (bind, program) = (distance.far_bind()?, program.clone());
            Order::Faktory(FaktoryOrder { bind, program })
        }
        ServerKind::Given { server, .. } => {
            let (from_near, from_far) = (server.clone(), server.clone());
            return Ok(WorkServer { process: None, brake: None, from_near, from_far });
        }
    };
    let (process, far) = start_server(distance, &order)?;
    let brake =
        network.server_jobs_per_second.map(|rate| start_brake(distance, far, rate)).transpose()?;
    let front = brake.as_ref().map_or(far, |(_, address)| *address);
    Ok(WorkServer {
        process: Some(process),
        brake: brake.map(|(process, _)| process),
        from_near: Server {
            password: password.clone(),
            ..Server::at(distance.seen_from_near(front)?)
        },
        from_far: Server { password, ..Server::at(far) },
    })
}

/// Starts a brake before a work server on the far side, and returns the brake's address there.
fn start_brake(
    distance: &Distance,
    server: SocketAddr,
    jobs_per_second: f64,
) -> anyhow::Result<(Part, SocketAddr)> {
    let order = BrakeOrder { bind: SocketAddr::new(server.ip(), 0), server, jobs_per_second };
    start_server(distance, &Order::Brake(order))
}

/// Starts a server on the far side, and returns its address there.
pub(crate) fn start_server(
    distance: &Distance,
    order: &Order,
) -> anyhow::Result<(Part, SocketAddr)> {
    let process = Part::start(distance, Side::Far, order)?;
    let address = ready(&process)?.context("the work server did not say where it listens")?;
    Ok((process, address))
}

/// Starts an API on the near side, and returns its URL.
pub(super) fn api(
    distance: &Distance,
    server: &Server,
    variables: &BTreeMap<String, String>,
) -> anyhow::Result<(Part, String)> {
    let mut variables = variables.clone();
    // The benchmark's workers are ours; nothing is compressed where no size is set.
    variables.insert("COMPRESS_QUEUES".into(), "*".into());
    let host = if variables.contains_key("API_KEYS_FILE") { "0.0.0.0" } else { "127.0.0.1" };
    variables.insert("BIND_ADDR".into(), format!("{host}:0"));
    let order = ApiOrder { server: server.clone(), variables, began_us: now_us() };
    let process = Part::start(distance, Side::Near, &Order::Api(order))?;
    let address = ready(&process)?.context("the API did not say where it listens")?;
    Ok((process, format!("http://127.0.0.1:{}", address.port())))
}

/// The address of a server.
pub(super) fn resolve(server: &Server) -> anyhow::Result<SocketAddr> {
    let mut addresses = (server.host.as_str(), server.port)
        .to_socket_addrs()
        .with_context(|| format!("failed to resolve {server:?}"))?;
    addresses.next().with_context(|| format!("{server:?} has no address"))
}
