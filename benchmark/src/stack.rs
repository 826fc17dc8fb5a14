//! What is measured: a work server on the far side, an API and an attendant, with the distance in
//! between. Or what runs already.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::distance::{Congestion, Distance, Means, Side};
use crate::network::Network;
use crate::part::clock::now_us;
use crate::part::order::{
    ApiOrder, Attend, AttendantOrder, Attended, BrakeOrder, BrokerOrder, Event, FaktoryOrder,
    Order, Server, Sets,
};
use crate::process::Part;
use crate::processor::Usage;

/// The longest that a process takes to be ready.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(60);
/// The longest that an attendant takes for one task.
const ATTEND_WITHIN: Duration = Duration::from_secs(180);
/// The longest that acknowledgements of a worker that has run everything may take.
const ACKS_WITHIN: Duration = Duration::from_secs(15);
/// The longest that a server is waited for to be idle.
const IDLE_WITHIN: Duration = Duration::from_secs(15);
/// So many looks in a row find a server idle that is: one may fall into a pause.
const IDLE_LOOKS: usize = 10;
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(30);

/// Which work server.
#[derive(Debug, Clone)]
pub(crate) enum ServerKind {
    /// The embedded broker.
    Broker,
    /// A real Faktory, started from this program file.
    Faktory(PathBuf),
    /// What runs already.
    Given {
        /// The API's address, where there is one.
        api: Option<String>,
        /// The work server.
        server: Server,
    },
}

/// A running stack.
pub(crate) struct Stack {
    /// As the near side reaches it.
    pub(crate) server: Server,
    /// The API's address on the near side.
    pub(crate) api: Option<String>,
    pub(crate) version: String,
    pub(crate) round_trip: Option<Duration>,
    /// Connections to the work server, ours and the baseline's.
    pub(crate) connections: usize,
    /// What a worker has to end.
    pub(crate) shutdown_timeout: Duration,
    /// The product's variables that API and worker are started with.
    pub(crate) variables: BTreeMap<String, String>,
    // In the order in which they are to end.
    api_process: Option<Part>,
    attendant: Part,
    brake: Option<Part>,
    work_server: Option<Part>,
    pub(crate) distance: Distance,
}

impl Stack {
    /// Starts everything.
    pub(crate) fn start(
        kind: &ServerKind,
        network: &Network,
        congestion: &Congestion,
        connections: usize,
        seed: u64,
        proxy_because: Option<&str>,
    ) -> anyhow::Result<Self> {
        let mut distance = match kind {
            ServerKind::Given { .. } => Distance::Given,
            ServerKind::Broker | ServerKind::Faktory(_) => {
                Distance::make(network, congestion, seed, proxy_because)?
            }
        };
        // Before the first connection: a NAT knows only those that it saw begin.
        distance.forget_idle_flows(network.forgets_after_seconds.map(Duration::from_secs_f64));
        let order = match kind {
            ServerKind::Broker => Some(Order::Broker(BrokerOrder { bind: distance.far_bind()? })),
            ServerKind::Faktory(program) => Some(Order::Faktory(FaktoryOrder {
                bind: distance.far_bind()?,
                program: program.clone(),
            })),
            ServerKind::Given { .. } => None,
        };
        let (work_server, far) = match (order, kind) {
            (_, ServerKind::Given { server, .. }) => (None, resolve(server)?),
            (Some(order), _) => start_server(&distance, &order)
                .map(|(process, address)| (Some(process), address))?,
            (None, _) => bail!("no work server was ordered"),
        };
        let brake = network
            .server_jobs_per_second
            .map(|rate| start_brake(&distance, far, rate))
            .transpose()?;
        // Where the near side meets it.
        let front = brake.as_ref().map_or(far, |(_, address)| *address);
        let brake = brake.map(|(process, _)| process);
        let server = match kind {
            ServerKind::Given { server, .. } => server.clone(),
            ServerKind::Broker | ServerKind::Faktory(_) => {
                Server::at(distance.seen_from_near(front)?)
            }
        };
        let near = resolve(&server)?;
        let far_server =
            if matches!(kind, ServerKind::Given { .. }) { server.clone() } else { Server::at(far) };
        let mut attendant = Part::start(
            &distance,
            Side::Far,
            &Order::Attendant(AttendantOrder { server: far_server }),
        )?;
        ready(&attendant)?;
        let version = match ask(&mut attendant, &Attend::Version)? {
            Attended::Version(version) => version,
            other => bail!("the attendant answered {other:?}"),
        };
        let variables = variables(network, connections);
        let (api_process, api) = match kind {
            ServerKind::Given { api, .. } => (None, api.clone()),
            ServerKind::Broker | ServerKind::Faktory(_) => {
                let (process, address) = start_api(&distance, &server, &variables)?;
                (Some(process), Some(address))
            }
        };
        let round_trip = distance.round_trip(near);
        let text = variables.get("SHUTDOWN_TIMEOUT").map_or("30s", String::as_str);
        let shutdown_timeout = humantime::parse_duration(text).context("SHUTDOWN_TIMEOUT")?;
        Ok(Self {
            shutdown_timeout,
            variables,
            distance,
            server,
            api,
            version,
            round_trip,
            connections,
            api_process,
            attendant,
            brake,
            work_server,
        })
    }

    /// Starts the API anew, and returns how long after its start it was ready: what the first
    /// requests meet is what counts then.
    pub(crate) fn restart_api(&mut self) -> anyhow::Result<Duration> {
        anyhow::ensure!(
            self.api_process.is_some(),
            "an API that is not the benchmark's own can't be started anew"
        );
        self.api_process = None;
        let (process, address) = start_api(&self.distance, &self.server, &self.variables)?;
        self.api = Some(address);
        let ready = match process.next(READY_WITHIN)? {
            Event::Serves { after_us } => Duration::from_micros(after_us),
            other => return process.unexpected(&other),
        };
        self.api_process = Some(process);
        Ok(ready)
    }

    /// Ends the work server: what posts meets a closed port.
    pub(crate) fn stop_work_server(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.work_server.is_some(),
            "a work server that is not the benchmark's own can't be stopped"
        );
        (self.brake, self.work_server) = (None, None);
        Ok(())
    }

    /// Its own processes, by their names in reports.
    pub(crate) fn processes(&self) -> Vec<(&'static str, u32)> {
        // Of this program, next to nothing but the relay runs meanwhile.
        let mut processes = vec![("emulator", std::process::id())];
        if let Some(api) = &self.api_process {
            processes.push(("api", api.id()));
        }
        if let Some(server) = &self.work_server {
            processes.push(("server", server.id()));
        }
        processes
    }

    /// Has the attendant do something.
    pub(crate) fn attend(&mut self, task: &Attend) -> anyhow::Result<Attended> {
        ask(&mut self.attendant, task)
    }

    /// Removes a measurement's queue with all that is left in it. A server of the benchmark's own
    /// is emptied whole instead, at once: deleting millions of jobs one by one would burden the
    /// next measurement.
    pub(crate) fn clear_away(&mut self, queue: &str) -> anyhow::Result<()> {
        let task = if self.work_server.is_some() {
            Attend::Flush
        } else {
            Attend::Remove { queue: queue.into() }
        };
        self.attend(&task).map(drop)
    }

    /// What is in the work server's sets.
    pub(crate) fn sets(&mut self) -> anyhow::Result<Sets> {
        match self.attend(&Attend::Sets)? {
            Attended::Sets(sets) => Ok(sets),
            other => bail!("the attendant answered {other:?}"),
        }
    }

    /// Has the attendant begin something that takes long; [`Stack::attended`] waits for its end.
    pub(crate) fn begin_to_attend(&mut self, task: &Attend) -> anyhow::Result<()> {
        self.attendant.tell(task)
    }

    /// Waits until the attendant has done what it began.
    pub(crate) fn attended(&mut self, within: Duration) -> anyhow::Result<()> {
        match self.attendant.next(within)? {
            Event::Attended(Attended::Done) => Ok(()),
            other => self.attendant.unexpected(&other),
        }
    }

    /// How many jobs are in a queue.
    pub(crate) fn queue_size(&mut self, queue: &str) -> anyhow::Result<u64> {
        match self.attend(&Attend::Size { queue: queue.into() })? {
            Attended::Size(size) => Ok(size),
            other => bail!("the attendant answered {other:?}"),
        }
    }

    /// How many jobs of this stack are fetched and not acknowledged, once acknowledgements had the
    /// time to come; 0 where others work too.
    pub(crate) fn unacknowledged(&mut self) -> anyhow::Result<u64> {
        if self.work_server.is_none() {
            return Ok(0);
        }
        let give_up = Instant::now() + ACKS_WITHIN;
        loop {
            let working = match self.attend(&Attend::Working)? {
                Attended::Size(working) => working,
                other => bail!("the attendant answered {other:?}"),
            };
            if working == 0 || Instant::now() > give_up {
                return Ok(working);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until the work server has nothing left to do of what was before.
    pub(crate) fn wait_until_idle(&self) {
        let Some(server) = &self.work_server else { return };
        let used = || {
            Usage::now(&[("server", server.id())]).processor_ns.get("server").copied().unwrap_or(0)
        };
        let give_up = Instant::now() + IDLE_WITHIN;
        let (mut before, mut idle) = (used(), 0);
        while idle < IDLE_LOOKS && Instant::now() < give_up {
            std::thread::sleep(LOOK);
            let now = used();
            idle =
                if now.saturating_sub(before) < LOOK.as_nanos() as u64 / 5 { idle + 1 } else { 0 };
            before = now;
        }
    }

    /// Ends a worker whose queue is paused or empty. One of the benchmark's own stack is not waited
    /// for: it would wait for FETCHes of which nothing comes.
    pub(crate) fn end_worker(&self, worker: Part) {
        match &self.work_server {
            None => drop(worker),
            Some(_) => worker.kill(),
        }
    }

    pub(crate) fn means(&self, proxy_because: Option<&str>) -> Means {
        self.distance.means(proxy_because)
    }
}

fn ask(attendant: &mut Part, task: &Attend) -> anyhow::Result<Attended> {
    attendant.tell(task)?;
    match attendant.next(ATTEND_WITHIN)? {
        Event::Attended(answer) => Ok(answer),
        other => attendant.unexpected(&other),
    }
}

/// Waits until a part is ready; servers say where they listen.
pub(crate) fn ready(part: &Part) -> anyhow::Result<Option<SocketAddr>> {
    match part.next(READY_WITHIN)? {
        Event::Ready(address) => Ok(address),
        other => part.unexpected(&other),
    }
}

fn resolve(server: &Server) -> anyhow::Result<SocketAddr> {
    let mut addresses = (server.host.as_str(), server.port)
        .to_socket_addrs()
        .with_context(|| format!("failed to resolve {server:?}"))?;
    addresses.next().with_context(|| format!("{server:?} has no address"))
}

/// What API and worker are started with; what the network says comes last.
fn variables(network: &Network, connections: usize) -> BTreeMap<String, String> {
    let mut variables =
        BTreeMap::from([("FAKTORY_MAX_CONNECTIONS".to_owned(), connections.to_string())]);
    variables.extend(network.variables.clone());
    variables
}

fn start_api(
    distance: &Distance,
    server: &Server,
    variables: &BTreeMap<String, String>,
) -> anyhow::Result<(Part, String)> {
    let mut variables = variables.clone();
    variables.insert("BIND_ADDR".into(), "127.0.0.1:0".into());
    let order = ApiOrder { server: server.clone(), variables, began_us: now_us() };
    let process = Part::start(distance, Side::Near, &Order::Api(order))?;
    let address = ready(&process)?.context("the API did not say where it listens")?;
    Ok((process, format!("http://{address}")))
}

/// Starts what holds a work server back, on the far side, and says where it listens there.
fn start_brake(
    distance: &Distance,
    server: SocketAddr,
    jobs_per_second: f64,
) -> anyhow::Result<(Part, SocketAddr)> {
    let order = BrakeOrder { bind: SocketAddr::new(server.ip(), 0), server, jobs_per_second };
    start_server(distance, &Order::Brake(order))
}

/// Starts a server on the far side, and says where it listens there.
fn start_server(distance: &Distance, order: &Order) -> anyhow::Result<(Part, SocketAddr)> {
    let process = Part::start(distance, Side::Far, order)?;
    let address = ready(&process)?.context("the work server did not say where it listens")?;
    Ok((process, address))
}
