//! The servers that run side by side.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use super::raw_load::load;
use super::{FAKTORY, NULL};
use crate::distance::Distance;
use crate::part::order::{
    self, Attend, Attended, BrokerOrder, FaktoryOrder, NullOrder, Order, RawOrder, RawWork,
};
use crate::process::Part;
use crate::report::{Depth, Run};
use crate::stack::{Attendant, start_server};

/// Jobs a second that are expected of a server before its first measurement.
const FIRST_GUESS: f64 = 30_000.0;
/// How many times as many jobs are filled in as the measured time should take.
const MORE: f64 = 1.5;
/// Jobs that are filled in in any case.
const LEAST: u64 = 20_000;
/// Jobs that one load fills in at the most: a worker server may end a long silent connection.
const FILL_AT_ONCE: u64 = 1_000_000;
/// The longest time for that.
const FILL_WITHIN: Duration = Duration::from_secs(100);

/// The jobs that a server holds when a measurement begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// None, but those that are to be fetched.
    Empty,
    /// This many before each measurement.
    Each(u64),
    /// This many before the first measurement, and whatever was pushed since.
    Kept(u64),
}

/// A server with the attendant that looks into it.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) address: order::Server,
    pub(super) version: Option<String>,
    /// What it used as it was filled, where it is filled only once.
    pub(super) depths: Vec<Depth>,
    socket: std::net::SocketAddr,
    level: Level,
    /// Jobs a second that were fetched and acknowledged last.
    rate: f64,
    order: Order,
    // The attendant ends before its server does.
    attendant: Option<Attendant>,
    process: Option<Part>,
    /// The broker's data.
    data: Option<TempDir>,
}

impl Server {
    pub(super) fn broker(
        name: &'static str,
        distance: &Distance,
        level: Level,
    ) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let order = BrokerOrder {
            bind: distance.far_bind()?,
            password: None,
            data: Some(data.path().to_owned()),
        };
        let server = Self::start(name, distance, Order::Broker(order))?;
        Ok(Self { level, data: Some(data), ..server })
    }

    pub(super) fn faktory(distance: &Distance, program: &Path) -> anyhow::Result<Self> {
        let order = FaktoryOrder { bind: distance.far_bind()?, program: program.to_owned() };
        Self::start(FAKTORY, distance, Order::Faktory(order))
    }

    pub(super) fn null(distance: &Distance) -> anyhow::Result<Self> {
        Self::start(NULL, distance, Order::Null(NullOrder { bind: distance.far_bind()? }))
    }

    fn start(name: &'static str, distance: &Distance, order: Order) -> anyhow::Result<Self> {
        let (process, socket) = start_server(distance, &order)?;
        let address = order::Server::at(socket);
        // The null server has nothing to look into.
        let mut attendant = match order {
            Order::Null(_) => None,
            _ => Some(Attendant::start(distance, address.clone())?),
        };
        let version = attendant.as_mut().map(Attendant::version).transpose()?;
        Ok(Self {
            name,
            address,
            version,
            depths: Vec::new(),
            socket,
            level: Level::Empty,
            rate: FIRST_GUESS,
            order,
            attendant,
            process: Some(process),
            data: None,
        })
    }

    /// Kills the server, and starts it again with the same data; returns the time from the start of
    /// the new process until it listens.
    pub(super) fn kill_and_start(&mut self, distance: &Distance) -> anyhow::Result<Duration> {
        self.attendant = None;
        self.process.take().into_iter().for_each(Part::kill);
        let begin = Instant::now();
        let (process, socket) = start_server(distance, &self.order)?;
        let ready = begin.elapsed();
        ensure!(socket == self.socket, "the server listens at another address than before");
        self.process = Some(process);
        self.attendant = Some(Attendant::start(distance, self.address.clone())?);
        Ok(ready)
    }

    pub(super) fn id(&self) -> u32 {
        self.process.as_ref().map_or(0, Part::id)
    }

    pub(super) fn round_trip(&self, distance: &Distance) -> Option<Duration> {
        distance.round_trip(self.socket)
    }

    /// The bytes of the broker's files.
    pub(super) fn disk_bytes(&self) -> Option<u64> {
        self.data.as_ref().map(|data| bytes_below(data.path()))
    }

    /// The number of jobs in all queues; 0 of the null server.
    pub(super) fn queued(&mut self) -> anyhow::Result<u64> {
        self.attendant.as_mut().map_or(Ok(0), |attendant| attendant.size(&Attend::SizeOfAll))
    }

    /// The number of jobs that are not due yet.
    pub(super) fn scheduled(&mut self) -> anyhow::Result<u64> {
        Ok(self.attendant()?.sets()?.scheduled)
    }

    /// The number of jobs in one queue.
    pub(super) fn size_of(&mut self, queue: &str) -> anyhow::Result<u64> {
        self.attendant()?.size(&Attend::Size { queue: queue.into() })
    }

    /// Has the attendant do a task that has no answer.
    pub(super) fn attend(&mut self, task: &Attend) -> anyhow::Result<()> {
        match self.attendant()?.attend(task)? {
            Attended::Done => Ok(()),
            other => anyhow::bail!("{task:?} was answered with {other:?}"),
        }
    }

    fn attendant(&mut self) -> anyhow::Result<&mut Attendant> {
        self.attendant.as_mut().context("there is nothing to look into")
    }

    /// The jobs with which the server is filled only once.
    pub(super) const fn kept(&self) -> Option<u64> {
        match self.level {
            Level::Kept(jobs) => Some(jobs),
            Level::Empty | Level::Each(_) => None,
        }
    }

    /// Brings the server to its level; returns the number of queued jobs. The null server has all
    /// the jobs that anybody wants.
    pub(super) fn prepare(
        &mut self,
        distance: &Distance,
        work: RawWork,
        lasts: Duration,
    ) -> anyhow::Result<u64> {
        let Some(attendant) = &mut self.attendant else { return Ok(u64::MAX) };
        let jobs = match (self.level, work) {
            (Level::Kept(_), _) => return self.queued(),
            (Level::Each(jobs), _) => jobs,
            // More than the server can hand out.
            (Level::Empty, RawWork::FetchAck) => {
                (self.rate * lasts.as_secs_f64() * MORE) as u64 + LEAST
            }
            (Level::Empty, RawWork::Push | RawWork::PushBatch(_) | RawWork::Cycle) => 0,
        };
        match attendant.attend(&Attend::Flush)? {
            Attended::Done => {}
            other => anyhow::bail!("FLUSH was answered with {other:?}"),
        }
        self.fill(distance, jobs)?;
        self.queued()
    }

    pub(super) fn fill(&self, distance: &Distance, jobs: u64) -> anyhow::Result<()> {
        let mut left = jobs;
        while left > 0 {
            let most = left.min(FILL_AT_ONCE);
            // The last batch is a smaller one.
            let work = RawWork::PushBatch(most.min(1000) as usize);
            let most = most - most % work.jobs();
            let address = self.address.clone();
            let order = RawOrder {
                connections: 4,
                depth: 4,
                most: Some(most),
                ..RawOrder::new(address, work, FILL_WITHIN)
            };
            let stored = load(distance, None, order)?.report.stored;
            ensure!(stored == most, "{stored} of {most} jobs were filled in within 100 s");
            left -= stored;
        }
        Ok(())
    }

    /// Looks whether the server holds what the answers say, after it held `before` jobs.
    pub(super) fn look(&mut self, work: RawWork, before: u64, run: &mut Run) -> anyhow::Result<()> {
        if work == RawWork::FetchAck {
            self.rate = run.jobs_per_second;
        }
        run.disk_bytes = self.disk_bytes();
        let answered = run.counts.stored;
        let Some(attendant) = &mut self.attendant else {
            run.counts.arrived = answered;
            return Ok(());
        };
        let reserved = attendant.size(&Attend::Working)?;
        let after = self.queued()?;
        run.counts.arrived = match work {
            RawWork::FetchAck => before.saturating_sub(after),
            RawWork::Push | RawWork::PushBatch(_) => after.saturating_sub(before),
            // What was pushed was acknowledged as well.
            RawWork::Cycle => answered.saturating_sub(after.abs_diff(before)),
        };
        let found = run.counts.arrived;
        if answered != found || reserved > 0 {
            run.failures.push(format!(
                "the answers stand for {answered} jobs, the server says {found}; {reserved} are \
                 reserved"
            ));
        }
        Ok(())
    }
}

/// The bytes of all files in a folder and below.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(of).sum()
}
