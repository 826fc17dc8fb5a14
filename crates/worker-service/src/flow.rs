//! The flow of jobs through a worker: what is asked for on which lane, what has come and waits for
//! a slot, and what runs. How much is asked for is decided in `prefetch.rs`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use faktory_link::ReplyBudget;
use faktory_wire::{Abilities, FETCH_JOBS_MAX};
use metrics::{Counter, counter};
use service_runtime::metrics as names;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::buffer::{Buffer, Buffered, Bytewise};
use crate::fetch_line::FetchLine;
use crate::lanes_runtime::REST;
use crate::prefetch::{Limits, Prefetch, Snapshot};
use crate::reporting::ReportQueues;

/// The flow of jobs, as fetch lanes, slots and ack lanes see it.
pub(crate) struct Flow {
    fetch_line: FetchLine,
    prefetch: Mutex<Prefetch>,
    /// One for each lane: fires when the lane may send, or is to connect.
    lanes: Vec<Notify>,
    buffer: Buffer,
    /// The memory for large jobs while they are read and wait.
    replies: Arc<ReplyBudget>,
    /// The reports that are not settled: where there are too many, nothing more is fetched.
    reports: Arc<ReportQueues>,
    /// True while jobs end so fast that the lanes' thread may rest in between.
    is_busy: Arc<AtomicBool>,
    fetched: Counter,
    stranded: Counter,
}

impl Flow {
    pub(crate) fn new(
        fetch_line: FetchLine,
        limits: Limits,
        poll_interval: Duration,
        budget: usize,
        replies: Arc<ReplyBudget>,
        reports: Arc<ReportQueues>,
        is_busy: Arc<AtomicBool>,
    ) -> Self {
        Self {
            fetch_line,
            prefetch: Mutex::new(Prefetch::new(limits, poll_interval)),
            lanes: (0..limits.lanes).map(|_| Notify::new()).collect(),
            buffer: Buffer::new(budget),
            replies,
            reports,
            is_busy,
            fetched: counter!(names::WORKER_FETCHED),
            stranded: counter!(names::WORKER_STRANDED),
        }
    }

    pub(crate) fn prefetch(&self) -> MutexGuard<'_, Prefetch> {
        self.prefetch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a change, and has the lanes send what may be sent after it.
    pub(crate) fn note<T>(&self, change: impl FnOnce(&mut Prefetch, Instant) -> T) -> T {
        let now = Instant::now();
        let mut prefetch = self.prefetch();
        let result = change(&mut prefetch, now);
        prefetch.set_full(self.buffer.is_full() || self.awaits_memory());
        prefetch.grant(self.reports.unsettled(), now, |lane| {
            if let Some(lane) = self.lanes.get(lane) {
                lane.notify_one();
            }
        });
        self.is_busy.store(prefetch.rate(now) * REST.as_secs_f64() >= 1.0, Ordering::Relaxed);
        result
    }

    /// True where a job waits in its socket for memory.
    pub(crate) fn awaits_memory(&self) -> bool {
        self.replies.awaited() > 0
    }

    /// Wakes the lanes that may send more FETCHes.
    pub(crate) fn refill(&self) {
        self.note(|_, _| ());
    }

    /// Ends the fetching, for good.
    pub(crate) fn stop_fetching(&self) {
        self.prefetch().stop();
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.prefetch().snapshot()
    }

    /// Resolves when the lane may send, or is to connect. Cancel safe.
    pub(crate) async fn notified(&self, lane: usize) {
        match self.lanes.get(lane) {
            Some(lane) => lane.notified().await,
            None => std::future::pending().await,
        }
    }

    /// The FETCHes that the lane may send now, as lines, each with the number of jobs that it asks
    /// for; many in one line where the server takes that.
    pub(crate) fn take_granted(
        &self,
        lane: usize,
        server: Abilities,
    ) -> (Vec<Vec<u8>>, Vec<usize>) {
        let mut granted = self.prefetch().take_granted(lane);
        let (mut lines, mut jobs) = (Vec::new(), Vec::new());
        while granted > 0 {
            let most = server.many.then_some(granted.min(FETCH_JOBS_MAX));
            lines.push(self.fetch_line.get(most));
            jobs.push(most.unwrap_or(1));
            granted -= most.unwrap_or(1);
        }
        (lines, jobs)
    }

    /// Puts fetched jobs, each with a time before which its FETCH was not written, where slots take
    /// them from. The jobs have been noted already.
    pub(crate) fn take_in(&self, jobs: Vec<(Instant, Bytes)>) {
        let came = Instant::now();
        self.fetched.increment(jobs.len() as u64);
        let jobs = jobs.into_iter().map(|(fetched, body)| Buffered { body, came, fetched });
        self.buffer.add(jobs);
    }

    /// Counts FETCHes that were lost with their lane.
    pub(crate) fn lost(&self, fetches: usize) {
        self.stranded.increment(fetches as u64);
    }

    /// The next job for a slot, and the memory that it takes; `None` once no more come. Cancel
    /// safe.
    pub(crate) async fn begin_next(&self) -> Option<(Buffered, usize)> {
        let begun = self.buffer.next().await?;
        self.prefetch().begun();
        Some(begun)
    }

    /// Notes that a slot is free again, and the memory that its job took; `took` where the run says
    /// how long runs take.
    pub(crate) fn ended(&self, cost: usize, took: Option<Duration>) {
        self.buffer.ended(cost);
        if !self.prefetch().ended(took, Instant::now()) {
            self.refill();
        }
    }

    /// Takes out the job that has waited longest, for another worker.
    pub(crate) fn take_waiting(&self) -> Option<Buffered> {
        let buffered = self.buffer.take()?;
        self.prefetch().requeued();
        Some(buffered)
    }

    /// Bytes of the jobs that are here.
    pub(crate) fn bytes(&self) -> Bytewise {
        self.buffer.bytes()
    }

    /// Jobs that wait for a slot.
    pub(crate) fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// True where a job has waited for a slot since before then.
    pub(crate) fn has_waited_since(&self, came: Instant) -> bool {
        // Jobs that waited in their sockets come late, with reservations that have run meanwhile.
        self.buffer.is_older_than(came)
            || self.awaits_memory() && self.buffer.was_fetched_before(came)
    }

    /// Notes that no more jobs come: each of the slots ends once no job waits.
    pub(crate) fn close(&self, slots: usize) {
        self.buffer.close(slots);
    }
}
