//! The servers that run side by side.

use std::path::Path;
use std::time::Duration;

use super::{BROKER, FAKTORY, NULL, load};
use crate::distance::Distance;
use crate::part::order::{
    self, Attend, Attended, BrokerOrder, FaktoryOrder, NullOrder, Order, RawOrder, RawWork,
};
use crate::part::raw::QUEUE;
use crate::process::Part;
use crate::report::Run;
use crate::stack::{Attendant, start_server};

/// Jobs a second that are expected of a server before its first measurement.
const FIRST_GUESS: f64 = 30_000.0;
/// How many times as many jobs are filled in as the measured time should take.
const MORE: f64 = 1.5;
/// Jobs that are filled in in any case.
const LEAST: u64 = 20_000;
/// The longest time to fill a queue.
const FILL_WITHIN: Duration = Duration::from_secs(60);
/// The load that fills a queue.
const FILL: RawWork = RawWork::PushBatch(1000);

/// A server with the attendant that looks into it.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) address: order::Server,
    pub(super) version: Option<String>,
    socket: std::net::SocketAddr,
    /// Jobs a second that were fetched and acknowledged last.
    rate: f64,
    // The attendant ends before its server does.
    attendant: Option<Attendant>,
    process: Part,
}

impl Server {
    pub(super) fn broker(distance: &mut Distance) -> anyhow::Result<Self> {
        let order = BrokerOrder { bind: distance.far_bind()?, password: None };
        Self::start(BROKER, distance, &Order::Broker(order))
    }

    pub(super) fn faktory(distance: &mut Distance, program: &Path) -> anyhow::Result<Self> {
        let order = FaktoryOrder { bind: distance.far_bind()?, program: program.to_owned() };
        Self::start(FAKTORY, distance, &Order::Faktory(order))
    }

    pub(super) fn null(distance: &mut Distance) -> anyhow::Result<Self> {
        Self::start(NULL, distance, &Order::Null(NullOrder { bind: distance.far_bind()? }))
    }

    fn start(name: &'static str, distance: &Distance, order: &Order) -> anyhow::Result<Self> {
        let (process, socket) = start_server(distance, order)?;
        let address = order::Server::at(socket);
        // The null server has nothing to look into.
        let mut attendant = match order {
            Order::Null(_) => None,
            _ => Some(Attendant::start(distance, address.clone())?),
        };
        let version = attendant.as_mut().map(Attendant::version).transpose()?;
        Ok(Self { name, address, version, socket, rate: FIRST_GUESS, attendant, process })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn round_trip(&self, distance: &Distance) -> Option<Duration> {
        distance.round_trip(self.socket)
    }

    /// Removes all jobs.
    pub(super) fn empty(&mut self) -> anyhow::Result<()> {
        let Some(attendant) = &mut self.attendant else { return Ok(()) };
        match attendant.attend(&Attend::Flush)? {
            Attended::Done => Ok(()),
            other => anyhow::bail!("FLUSH was answered with {other:?}"),
        }
    }

    /// Pushes more jobs than the server can hand out in a time; returns their number. The null
    /// server never runs dry.
    pub(super) fn fill(&self, distance: &Distance, lasts: Duration) -> anyhow::Result<u64> {
        if self.attendant.is_none() {
            return Ok(u64::MAX);
        }
        let jobs = (self.rate * lasts.as_secs_f64() * MORE) as u64 + LEAST;
        let order = RawOrder {
            server: self.address.clone(),
            work: FILL,
            connections: 4,
            depth: 4,
            warm_up: Duration::ZERO,
            lasts: FILL_WITHIN,
            most: Some(jobs),
        };
        Ok(load(distance, None, order)?.report.stored)
    }

    /// Looks whether the server holds what the answers say: the pushed jobs, or the filled ones
    /// without those that were acknowledged.
    pub(super) fn look(&mut self, work: RawWork, filled: u64, run: &mut Run) -> anyhow::Result<()> {
        if work == RawWork::FetchAck {
            self.rate = run.jobs_per_second;
        }
        let Some(attendant) = &mut self.attendant else {
            run.counts.arrived = run.counts.stored;
            return Ok(());
        };
        let queued = attendant.size(&Attend::Size { queue: QUEUE.into() })?;
        run.counts.arrived = match work {
            RawWork::FetchAck => filled.saturating_sub(queued),
            RawWork::Push | RawWork::PushBatch(_) => queued,
        };
        let reserved = attendant.size(&Attend::Working)?;
        let (answered, found) = (run.counts.stored, run.counts.arrived);
        if answered != found || reserved > 0 {
            run.failures.push(format!(
                "the answers stand for {answered} jobs, the server says {found}; {reserved} are \
                 reserved"
            ));
        }
        Ok(())
    }
}
