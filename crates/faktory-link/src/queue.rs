//! The queue of jobs that wait to be sent. Callers take turns, so that a caller with very many jobs
//! does not delay callers with few.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::chunk::Chunk;
use crate::codel::Codel;
use crate::estimate::{Estimate, Sent};
use crate::outcome::{JobOutcome, NotSent};
use crate::permit::ByteBudgets;
use crate::push_batch::PushBatch;

/// Bytes of one chunk, so that a caller's jobs spread over connections: eight segments of 1,400
/// bytes, of the ten that a cold or idle connection sends in its first round trip.
const CHUNK_BYTES: usize = 8 * 1400;
/// The same on a quiet link: `bbr` sends no more than its first ten segments at once and spaces out
/// the rest over a third of a round trip, so on a quiet link a batch arrives sooner over several
/// connections with a little each.
const CHUNK_BYTES_QUIET: usize = 3 * 1400;
/// Jobs in flight up to which a link is quiet.
const QUIET_JOBS: usize = 200;
/// A round trip from which on a chunk that waits for the next round trip costs more than a further
/// command does.
const FAR: Duration = Duration::from_millis(5);
/// The divisor of the round trip that gives the pause between two small commands on a distant, busy
/// link, so that more jobs leave in each: ten thousand lone jobs a second are otherwise ten
/// thousand packets, wake-ups and syncs, and each job is only one percent sooner.
const PAUSE_DIVISOR: u32 = 100;
/// A shorter pause is none: timers have a resolution of a millisecond.
const PAUSE_MIN: Duration = Duration::from_micros(500);
/// Jobs in one command at the most: the server has 5 s for a command, and takes 20 to 30 ms for
/// 1,000 jobs (measured on Faktory).
const COMMAND_JOBS: usize = 1000;
/// Bytes of one command at the most, unless a single chunk is larger.
const COMMAND_BYTES: usize = 1 << 20;

/// The queue of one pusher, with the estimate of the link by which jobs leave.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    /// Notified when a chunk was added, a command ended, or the queue was closed.
    pub(crate) changed: Notify,
    /// The budgets of jobs that wait or are in flight.
    pub(crate) budgets: ByteBudgets,
    /// True once no caller is to wait any longer.
    pub(crate) abandoned: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The callers with chunks in the queue; the first has the next turn.
    callers: VecDeque<Caller>,
    jobs: usize,
    bytes: usize,
    closed: bool,
    /// When the last command left.
    last_left: Option<Instant>,
    /// End of the pause that the dispatcher makes now. Until then, added chunks do not wake the
    /// dispatcher while they are few.
    paused_until: Option<Instant>,
    estimate: Estimate,
    codel: Codel,
}

impl Inner {
    fn is_quiet_and_far(&self) -> bool {
        self.estimate.in_flight() <= QUIET_JOBS
            && self.estimate.min_round_trip().is_none_or(|round_trip| round_trip >= FAR)
    }

    /// The end of the pause after the last command, where a pause is due.
    fn pause_until(&self, now: Instant) -> Option<Instant> {
        if self.bytes >= CHUNK_BYTES_QUIET || self.estimate.in_flight() <= QUIET_JOBS {
            return None;
        }
        let pause = self.estimate.min_round_trip()? / PAUSE_DIVISOR;
        let until = self.last_left? + pause;
        (pause >= PAUSE_MIN && until > now).then_some(until)
    }

    /// The wait for the reply to a job with `jobs` jobs ahead of it, beyond the round trip.
    fn wait_behind(&self, jobs: usize, now: Instant) -> Duration {
        self.estimate.wait_behind(jobs, now).saturating_sub(self.estimate.base_round_trip())
    }
}

/// A caller with chunks in the queue.
#[derive(Debug)]
struct Caller {
    /// The key of a client with many requests: all its requests are one caller here.
    key: Option<FairnessKey>,
    chunks: VecDeque<Chunk>,
}

/// A fairness key: it marks all pushes of one client, such as a stream. Pushes with the same key
/// share one turn, so that a client with many requests gets no more turns than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FairnessKey(pub(crate) u64);

/// The next step of the dispatcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ends: the queue is empty and closed.
    End,
    /// Waits for a change: the queue is empty, or as many jobs are in flight as may be.
    Wait,
    /// Pauses until then, or until more jobs wait.
    Pause(Instant),
    /// Sends a command.
    Send,
}

/// The state of a queue and its link, for status figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct QueueStatus {
    pub(crate) waiting: usize,
    pub(crate) in_flight: usize,
    pub(crate) allowed: usize,
    pub(crate) smoothed: Option<Duration>,
    pub(crate) shortest: Option<Duration>,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::default(),
            changed: Notify::new(),
            budgets: ByteBudgets::new(),
            abandoned: watch::Sender::new(false),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves at the deadline, or when the pusher is abandoned.
    pub(crate) async fn until_deadline_or_abandoned(&self, deadline: Instant) {
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => {}
            () = self.until_abandoned() => {}
        }
    }

    /// Resolves when the pusher is abandoned. Cancel safe.
    pub(crate) async fn until_abandoned(&self) {
        let _ = self.abandoned.subscribe().wait_for(|abandoned| *abandoned).await;
    }

    /// The outcome of jobs that were still waiting at the deadline, or when the pusher was
    /// abandoned.
    pub(crate) fn not_sent_in_time(&self) -> JobOutcome {
        if *self.abandoned.borrow() {
            JobOutcome::NotSent(NotSent::ShuttingDown, "the service is shutting down".into())
        } else {
            JobOutcome::NotSent(NotSent::TimedOut, "the time for the request ran out".into())
        }
    }

    /// The wait of a new caller for the reply to its first chunk, beyond the round trip, where that
    /// wait is longer than a push is admitted with.
    pub(crate) fn too_long(&self, max_wait: Duration) -> Option<Duration> {
        let now = Instant::now();
        let mut inner = self.inner();
        let in_flight = inner.estimate.in_flight();
        let mut wait = inner.wait_behind(in_flight + inner.jobs, now);
        if wait > max_wait / 8 {
            // Every other caller has one turn before the first turn of a new caller.
            let in_turns: usize = inner
                .callers
                .iter()
                .filter_map(|caller| caller.chunks.front())
                .map(|chunk| chunk.jobs.len())
                .sum();
            wait = inner.wait_behind(in_flight + in_turns, now);
        }
        (wait > inner.codel.limit(wait, max_wait, now)).then_some(wait)
    }

    /// The best size of a new caller's chunks, in bytes.
    pub(crate) fn chunk_bytes(&self) -> usize {
        let inner = self.inner();
        if inner.callers.is_empty() && inner.is_quiet_and_far() {
            CHUNK_BYTES_QUIET
        } else {
            CHUNK_BYTES
        }
    }

    /// Adds the chunks of a caller; false where the queue is closed.
    pub(crate) fn add(&self, key: Option<FairnessKey>, chunks: VecDeque<Chunk>) -> bool {
        {
            let mut inner = self.inner();
            if inner.closed {
                return false;
            }
            inner.jobs += chunks.iter().map(|chunk| chunk.jobs.len()).sum::<usize>();
            inner.bytes += chunks.iter().map(|chunk| chunk.bytes).sum::<usize>();
            let known =
                key.and_then(|key| inner.callers.iter_mut().find(|caller| caller.key == Some(key)));
            match known {
                Some(caller) => caller.chunks.extend(chunks),
                None => inner.callers.push_back(Caller { key, chunks }),
            }
            if inner.paused_until.is_some() && inner.bytes < CHUNK_BYTES_QUIET {
                return true;
            }
        }
        self.changed.notify_one();
        true
    }

    /// Takes no more jobs. The dispatcher still sends the jobs in the queue.
    pub(crate) fn close(&self) {
        self.inner().closed = true;
        self.budgets.close();
        self.changed.notify_one();
    }

    /// Decides the next step of the dispatcher.
    pub(crate) fn next(&self) -> Next {
        let now = Instant::now();
        let mut inner = self.inner();
        inner.paused_until = None;
        if inner.callers.is_empty() {
            if inner.closed { Next::End } else { Next::Wait }
        } else if inner.estimate.in_flight() >= inner.estimate.allowed(now) {
            Next::Wait
        } else if let Some(until) = inner.pause_until(now) {
            inner.paused_until = Some(until);
            Next::Pause(until)
        } else {
            Next::Send
        }
    }

    /// Takes the chunks of the next command out of the queue, while `idle` other connections are
    /// idle: each connection is to have its share of the jobs that may leave. Chunks that their
    /// callers have cancelled are left out; the command may be empty.
    pub(crate) fn take_batch(&self, idle: usize) -> (PushBatch, Sent) {
        let mut batch = PushBatch::default();
        let now = Instant::now();
        let mut inner = self.inner();
        let allowed = inner.estimate.allowed(now).saturating_sub(inner.estimate.in_flight()).max(1);
        let jobs = allowed.min(COMMAND_JOBS);
        // The bytes that a connection sends at once. Smaller commands would only cost processor
        // time.
        let at_once = if inner.is_quiet_and_far() { CHUNK_BYTES_QUIET } else { CHUNK_BYTES };
        // Only the bytes that may leave now are shared out: a fresh connection would send a share
        // of the whole of a giant batch over several round trips, while the others have nothing.
        let leaves = (inner.bytes as u64 * allowed.min(inner.jobs) as u64
            / inner.jobs.max(1) as u64) as usize;
        let bytes = leaves.div_ceil(idle + 1).clamp(at_once, COMMAND_BYTES);
        while let Some(mut caller) = inner.callers.pop_front() {
            let fits =
                caller.chunks.front().is_none_or(|chunk| batch.has_room_for(chunk, jobs, bytes));
            if !fits {
                inner.callers.push_front(caller);
                break;
            }
            if let Some(chunk) = caller.chunks.pop_front() {
                inner.jobs -= chunk.jobs.len();
                inner.bytes -= chunk.bytes;
                if chunk.claim.try_claim() {
                    batch.add(chunk);
                }
            }
            if !caller.chunks.is_empty() {
                inner.callers.push_back(caller);
            }
        }
        let more_waits = !inner.callers.is_empty();
        inner.last_left = Some(now);
        let sent = inner.estimate.sent(batch.jobs, more_waits, now);
        (batch, sent)
    }

    /// Notes that a command leaves with jobs that have left before: that command has ended.
    pub(crate) fn resent(&self, jobs: usize) -> Sent {
        let mut inner = self.inner();
        let more_waits = !inner.callers.is_empty();
        inner.estimate.sent(jobs, more_waits, Instant::now())
    }

    /// Notes that the server has answered a command.
    pub(crate) fn answered(&self, sent: Sent) {
        let mut inner = self.inner();
        inner.estimate.answered(sent, Instant::now());
        self.wake_dispatcher(&inner);
    }

    /// Notes that a command will get no reply, or has not left after all.
    pub(crate) fn unanswered(&self, sent: Sent) {
        let mut inner = self.inner();
        inner.estimate.unanswered(sent);
        self.wake_dispatcher(&inner);
    }

    /// Tells the dispatcher that fewer jobs are in flight, where jobs wait for that.
    fn wake_dispatcher(&self, inner: &Inner) {
        if !inner.callers.is_empty() && inner.paused_until.is_none() {
            self.changed.notify_one();
        }
    }

    /// Takes every chunk out of the queue.
    pub(crate) fn take_all(&self) -> Vec<Chunk> {
        let mut inner = self.inner();
        (inner.jobs, inner.bytes) = (0, 0);
        inner.callers.drain(..).flat_map(|caller| caller.chunks).collect()
    }

    pub(crate) fn status(&self) -> QueueStatus {
        let inner = self.inner();
        let estimate = &inner.estimate;
        QueueStatus {
            waiting: inner.jobs,
            in_flight: estimate.in_flight(),
            allowed: estimate.allowed(Instant::now()),
            smoothed: estimate.smoothed(),
            shortest: estimate.min_round_trip(),
        }
    }

    /// Takes in the network distance of the connection that a command was answered on, and returns
    /// the distance as estimated over all commands.
    pub(crate) fn note_distance(&self, distance: Duration) -> Duration {
        self.inner().estimate.note_distance(distance)
    }
}
