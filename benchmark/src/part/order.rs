//! The messages between the benchmark and its parts: orders, questions, and events with answers.
//! Each is one line of JSON.

mod attend;
mod hostile;
mod load;
mod raw;
mod server;
mod timeline;
mod via;
mod work;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(crate) use attend::{Attend, AttendantOrder, Attended, Sets, Trickle};
pub(crate) use hostile::{Attack, HostileOrder};
pub(crate) use load::{LoadOrder, LoadReport, Pattern, Probed, Refused, Shape, Until};
pub(crate) use raw::{NullOrder, RawOrder, RawWork};
pub(crate) use server::Server;
pub(crate) use timeline::{BIN_US, note_at};
pub(crate) use via::Via;
pub(crate) use work::{Handlers, WorkerOrder, WorkerQuestion, WorkerReport};

/// The first message to a part: which part the process is to be.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Broker(BrokerOrder),
    Faktory(FaktoryOrder),
    Brake(BrakeOrder),
    Api(ApiOrder),
    Load(LoadOrder),
    Worker(WorkerOrder),
    Attendant(AttendantOrder),
    Hostile(HostileOrder),
    Null(NullOrder),
    Raw(RawOrder),
}

/// A message from a part to the benchmark.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The part is ready to work; a server names the address at which it listens.
    Ready(Option<SocketAddr>),
    /// An API is ready for jobs, this long after the start of its process.
    Serves { after_us: u64 },
    /// The measured time begins.
    Measuring,
    /// The measured time has ended.
    Measured,
    /// The load is done.
    Loaded(Box<LoadReport>),
    /// The answer of a worker: the jobs that it has run.
    Ran(Box<WorkerReport>),
    /// The answer of an attendant.
    Attended(Attended),
    /// The part can't go on, for this reason.
    Failed(String),
}

impl Order {
    /// The part's name, for messages.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Brake(_) => "brake",
            Self::Broker(_) => "broker",
            Self::Faktory(_) => "Faktory",
            Self::Api(_) => "api",
            Self::Load(_) => "load",
            Self::Worker(_) => "worker",
            Self::Attendant(_) => "attendant",
            Self::Hostile(_) => "hostile client",
            Self::Null(_) => "null server",
            Self::Raw(_) => "raw load",
        }
    }

    /// The product's variables with which the part is started.
    pub(crate) const fn variables(&self) -> Option<&BTreeMap<String, String>> {
        match self {
            Self::Api(order) => Some(&order.variables),
            Self::Worker(order) => Some(&order.variables),
            Self::Broker(_)
            | Self::Faktory(_)
            | Self::Brake(_)
            | Self::Load(_)
            | Self::Attendant(_)
            | Self::Hostile(_)
            | Self::Null(_)
            | Self::Raw(_) => None,
        }
    }
}

/// The embedded broker as work server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BrokerOrder {
    pub(crate) bind: SocketAddr,
    /// The password that clients must know, where there is one.
    pub(crate) password: Option<String>,
    /// The folder of its data; without one, a folder that is removed when the broker ends.
    pub(crate) data: Option<PathBuf>,
}

/// A real Faktory as work server, started from a program file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FaktoryOrder {
    pub(crate) bind: SocketAddr,
    pub(crate) program: PathBuf,
}

/// A proxy before a work server that lets only this many jobs a second through.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BrakeOrder {
    pub(crate) bind: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) jobs_per_second: f64,
}

/// An API in front of a work server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ApiOrder {
    pub(crate) server: Server,
    /// The product's variables with which the API is started.
    pub(crate) variables: BTreeMap<String, String>,
    /// The time at which the process was started.
    pub(crate) began_us: u64,
}
