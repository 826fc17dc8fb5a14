//! The stack under measurement: a work server and an attendant on the far side, an API on the near
//! side, and the distance between the two sides. A stack can also stand on servers that run
//! already.

mod attendant;
mod keys;
mod kind;
mod start;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::distance::{Congestion, Distance, Means};
use crate::network::Network;
use crate::part::order::{Attend, Attended, Event, Server, Sets};
use crate::process::Part;
use crate::processor;
use keys::Keys;

pub(crate) use attendant::Attendant;
pub(crate) use kind::ServerKind;
pub(crate) use start::{READY_WITHIN, ready, start_server};

/// The longest time for the acknowledgements of a worker that has run all its jobs.
const ACKS_WITHIN: Duration = Duration::from_secs(15);
/// The time between two looks.
const LOOK: Duration = Duration::from_millis(30);

/// A running stack.
pub(crate) struct Stack {
    /// The work server as the near side reaches it.
    pub(crate) server: Server,
    /// The API's URL on the near side.
    pub(crate) api: Option<String>,
    /// The work server's name and version.
    pub(crate) version: String,
    /// A good key of the API, where it asks for one.
    pub(crate) key: Option<String>,
    pub(crate) round_trip: Option<Duration>,
    /// The number of connections to the work server, ours and the baseline's.
    pub(crate) connections: usize,
    /// The time that a worker gets to end.
    pub(crate) shutdown_timeout: Duration,
    /// The product's variables with which API and worker are started.
    pub(crate) variables: BTreeMap<String, String>,
    // The processes, in the order in which they are to end.
    api_process: Option<Part>,
    attendant: Attendant,
    brake: Option<Part>,
    work_server: Option<Part>,
    /// The file of keys, removed when dropped.
    _keys: Option<Keys>,
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
        // Before the first connection: a NAT knows only the flows that it saw begin.
        distance.forget_idle_flows(network.forgets_after_seconds.map(Duration::from_secs_f64));
        let work_server = start::work_server(kind, &mut distance, network)?;
        let server = work_server.from_near;
        let near = start::resolve(&server)?;
        let mut attendant = Attendant::start(&distance, work_server.from_far)?;
        let version = attendant.version()?;
        let mut variables = variables(network, connections);
        let keys = network.guarded.then(Keys::make).transpose()?;
        if let Some(keys) = &keys {
            variables.insert("API_KEYS_FILE".into(), keys.file.path().display().to_string());
        }
        let (api_process, api) = match kind {
            ServerKind::Given { api, .. } => (None, api.clone()),
            ServerKind::Broker | ServerKind::Faktory(_) => {
                let (process, url) = start::api(&distance, &server, &variables)?;
                (Some(process), Some(url))
            }
        };
        let round_trip = distance.round_trip(near);
        let shutdown_timeout = match variables.get("SHUTDOWN_TIMEOUT") {
            Some(text) => service_runtime::units::duration(text)
                .map_err(|accepted| anyhow::anyhow!("SHUTDOWN_TIMEOUT must be {accepted}"))?,
            None => service_runtime::ProcessSettings::default().shutdown_timeout,
        };
        Ok(Self {
            shutdown_timeout,
            variables,
            distance,
            server,
            api,
            key: keys.as_ref().map(|keys| keys.key.clone()),
            _keys: keys,
            version,
            round_trip,
            connections,
            api_process,
            attendant,
            brake: work_server.brake,
            work_server: work_server.process,
        })
    }

    /// Host and port at which a client that is not on loopback reaches the API.
    pub(crate) fn api_for_strangers(&self) -> anyhow::Result<String> {
        let api = self.api.as_deref().and_then(|url| url.rsplit_once(':'));
        let (_, port) = api.context("there is no API")?;
        Ok(format!("{}:{port}", self.distance.near_host()))
    }

    /// Starts the API anew, and returns the time from its start until it was ready. A measurement
    /// can then begin with the first requests of a fresh API.
    pub(crate) fn restart_api(&mut self) -> anyhow::Result<Duration> {
        anyhow::ensure!(
            self.api_process.is_some(),
            "an API that is not the benchmark's own can't be started anew"
        );
        self.api_process = None;
        let (process, url) = start::api(&self.distance, &self.server, &self.variables)?;
        self.api = Some(url);
        let ready = match process.next(READY_WITHIN)? {
            Event::Serves { after_us } => Duration::from_micros(after_us),
            other => return process.unexpected(&other),
        };
        self.api_process = Some(process);
        Ok(ready)
    }

    /// Ends the work server: clients meet a closed port.
    pub(crate) fn stop_work_server(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.work_server.is_some(),
            "a work server that is not the benchmark's own can't be stopped"
        );
        (self.brake, self.work_server) = (None, None);
        Ok(())
    }

    /// The stack's processes whose use is measured, by their names in reports.
    pub(crate) fn processes(&self) -> Vec<(&'static str, u32)> {
        // Of this program, little more than the emulator's relay runs during a measurement.
        let mut processes = vec![("emulator", std::process::id())];
        if let Some(api) = &self.api_process {
            processes.push(("api", api.id()));
        }
        if let Some(server) = &self.work_server {
            processes.push(("server", server.id()));
        }
        processes
    }

    /// Has the attendant do a task.
    pub(crate) fn attend(&mut self, task: &Attend) -> anyhow::Result<Attended> {
        self.attendant.attend(task)
    }

    /// Removes a measurement's queue with the jobs that are left in it. A server of the benchmark's
    /// own is flushed instead: deleting millions of jobs one by one would burden the next
    /// measurement.
    pub(crate) fn clear_away(&mut self, queue: &str) -> anyhow::Result<()> {
        let task = if self.work_server.is_some() {
            Attend::Flush
        } else {
            Attend::Remove { queue: queue.into() }
        };
        self.attend(&task).map(drop)
    }

    /// The sizes of the work server's sets, and its count of failures.
    pub(crate) fn sets(&mut self) -> anyhow::Result<Sets> {
        self.attendant.sets()
    }

    /// Has the attendant begin a long task; [`Stack::attended`] waits for its end.
    pub(crate) fn begin_to_attend(&mut self, task: &Attend) -> anyhow::Result<()> {
        self.attendant.begin(task)
    }

    /// Waits until the attendant has done the task that it began.
    pub(crate) fn attended(&self, within: Duration) -> anyhow::Result<()> {
        self.attendant.done(within)
    }

    /// The number of jobs in a queue.
    pub(crate) fn queue_size(&mut self, queue: &str) -> anyhow::Result<u64> {
        self.attendant.size(&Attend::Size { queue: queue.into() })
    }

    /// The number of this stack's jobs that are fetched and not acknowledged, after a wait for
    /// outstanding acknowledgements; 0 on a server on which others work too.
    pub(crate) fn unacknowledged(&mut self) -> anyhow::Result<u64> {
        if self.work_server.is_none() {
            return Ok(0);
        }
        let give_up = Instant::now() + ACKS_WITHIN;
        loop {
            let working = self.attendant.size(&Attend::Working)?;
            if working == 0 || Instant::now() > give_up {
                return Ok(working);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until the work server has finished its work for earlier measurements.
    pub(crate) fn wait_until_idle(&self) {
        let Some(server) = &self.work_server else { return };
        processor::wait_until_idle(&[server.id()]);
    }

    /// Ends a worker whose queue is paused or empty. A worker of the benchmark's own stack is
    /// killed: in an orderly end it would wait for FETCHes that bring no job.
    pub(crate) fn end_worker(&self, worker: Part) {
        match &self.work_server {
            None => drop(worker),
            Some(_) => worker.kill(),
        }
    }

    /// How the distance is made.
    pub(crate) fn means(&self, proxy_because: Option<&str>) -> Means {
        self.distance.means(proxy_because)
    }
}

/// The variables with which API and worker are started; the network's variables come last.
fn variables(network: &Network, connections: usize) -> BTreeMap<String, String> {
    let mut variables =
        BTreeMap::from([("FAKTORY_MAX_CONNECTIONS".to_owned(), connections.to_string())]);
    variables.extend(network.variables.clone());
    variables
}
