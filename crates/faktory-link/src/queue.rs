//! Jobs that wait to leave. Callers take turns, so that one with very many does not hold up those
//! with few.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use crate::estimate::{Estimate, Sent};
use crate::outcome::{EncodedJob, JobOutcome, NotSent};
use crate::push_batch::{Part, PushBatch};
use crate::standing_queue::StandingQueue;

/// A caller's jobs are divided into parts of up to so many jobs and bytes, which spread over
/// connections: eight segments of 1,400 bytes, of the ten that a cold or idle connection sends in
/// its first round trip.
const PART_JOBS: usize = 250;
const PART_BYTES: usize = 8 * 1400;
/// The same while hardly anything is under way: `bbr` sends no more than its first ten segments at
/// once and spaces out what comes later over a third of a round trip, so on a quiet link a batch is
/// there sooner by several connections with a little each.
const PART_BYTES_QUIET: usize = 3 * 1400;
/// Jobs under way with which a link is quiet.
const QUIET_JOBS: usize = 200;
/// A round trip from which on a part that waits for the next one costs more than a further command.
const FAR: Duration = Duration::from_millis(5);
/// A command that follows another over a long way, with many under way, may be so much of a round
/// trip behind it, so that others leave with it: ten thousand lone jobs a second are otherwise ten
/// thousand packets, wake-ups and syncs, for the one percent less that each waits.
const GATHERS_FOR: u32 = 100;
/// Nothing is to gather for less than this: timers have a resolution of a millisecond.
const GATHERS_AT_LEAST: Duration = Duration::from_micros(500);
/// One command carries up to so many: the server has 5 s for it, and takes 20 to 30 ms for 1,000
/// jobs (measured on Faktory).
const COMMAND_JOBS: usize = 1000;
const COMMAND_BYTES: usize = 1 << 20;
/// Jobs waiting or in flight, in bytes.
pub(crate) const ROOM_BYTES: u32 = 64 << 20;
/// The same of callers who wait for their turn; apart, so that they take nothing from the others.
pub(crate) const ROOM_IN_TURN_BYTES: u32 = 32 << 20;

/// What waits, and what is known of the link.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    /// Something was added or answered, or the queue was closed.
    pub(crate) changed: Notify,
    pub(crate) room: Arc<Semaphore>,
    pub(crate) room_in_turn: Arc<Semaphore>,
    /// True once nobody is to wait any longer.
    pub(crate) abandoned: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Each caller's parts; the one at the front has the next turn.
    callers: VecDeque<Caller>,
    jobs: usize,
    bytes: usize,
    closed: bool,
    /// When the last command left.
    left: Option<Instant>,
    /// Nobody need be told of what is added before this, while there is little.
    gathers_until: Option<Instant>,
    estimate: Estimate,
    standing: StandingQueue,
}

impl Inner {
    fn is_quiet_and_far(&self) -> bool {
        self.estimate.in_flight() <= QUIET_JOBS
            && self.estimate.round_trip().is_none_or(|round_trip| round_trip >= FAR)
    }

    /// Until when what waits is to wait for more.
    fn gathering(&self, now: Instant) -> Option<Instant> {
        if self.bytes >= PART_BYTES_QUIET || self.estimate.in_flight() <= QUIET_JOBS {
            return None;
        }
        let pause = self.estimate.round_trip()? / GATHERS_FOR;
        let until = self.left? + pause;
        (pause >= GATHERS_AT_LEAST && until > now).then_some(until)
    }
}

/// Somebody whose parts wait.
#[derive(Debug)]
struct Caller {
    /// Who it is, where he comes again and again: he has one turn all the same.
    source: Option<Source>,
    parts: VecDeque<Part>,
}

/// A caller who comes again and again, and whose jobs take turns with those of others as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source(pub(crate) u64);

/// What the sender is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing waits, and nothing more will come.
    End,
    /// Nothing waits, or as much as may is under way.
    Wait,
    /// What waits leaves then, or as soon as there is more of it.
    Gather(Instant),
    /// Something waits and may leave.
    Send,
}

/// How a queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Standing {
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
            room: Arc::new(Semaphore::new(ROOM_BYTES as usize)),
            room_in_turn: Arc::new(Semaphore::new(ROOM_IN_TURN_BYTES as usize)),
            abandoned: watch::Sender::new(false),
        }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when nobody is to wait any longer: at the deadline, or when the pusher is
    /// abandoned.
    pub(crate) async fn patience_ends(&self, deadline: Instant) {
        let mut abandoned = self.abandoned.subscribe();
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => {}
            _ = abandoned.wait_for(|abandoned| *abandoned) => {}
        }
    }

    pub(crate) fn out_of_patience(&self) -> JobOutcome {
        if *self.abandoned.borrow() {
            JobOutcome::NotSent(NotSent::ShuttingDown, "the service is shutting down".into())
        } else {
            JobOutcome::NotSent(NotSent::TimedOut, "the time for the request ran out".into())
        }
    }

    /// How long a caller who comes now would wait for his first part to be answered, beyond the
    /// round trip, where that is longer than he may.
    pub(crate) fn too_long(&self, max_wait: Duration) -> Option<Duration> {
        let now = Instant::now();
        let mut inner = self.inner();
        let beyond_way = |inner: &Inner, jobs| {
            inner.estimate.wait_behind(jobs, now).saturating_sub(inner.estimate.way())
        };
        let in_flight = inner.estimate.in_flight();
        let mut wait = beyond_way(&inner, in_flight + inner.jobs);
        if wait > max_wait / 8 {
            // The others each have one turn before his first.
            let in_turns: usize = inner
                .callers
                .iter()
                .filter_map(|caller| caller.parts.front())
                .map(|part| part.jobs.len())
                .sum();
            wait = beyond_way(&inner, in_flight + in_turns);
        }
        (wait > inner.standing.limit(wait, max_wait, now)).then_some(wait)
    }

    /// How large the parts of a caller who comes now are best, in bytes.
    pub(crate) fn part_bytes(&self) -> usize {
        let inner = self.inner();
        if inner.callers.is_empty() && inner.is_quiet_and_far() {
            PART_BYTES_QUIET
        } else {
            PART_BYTES
        }
    }

    /// Takes a caller's parts; false where the queue is closed.
    pub(crate) fn add(&self, source: Option<Source>, parts: VecDeque<Part>) -> bool {
        {
            let mut inner = self.inner();
            if inner.closed {
                return false;
            }
            inner.jobs += parts.iter().map(|part| part.jobs.len()).sum::<usize>();
            inner.bytes += parts.iter().map(|part| part.bytes).sum::<usize>();
            let known = source.and_then(|source| {
                inner.callers.iter_mut().find(|caller| caller.source == Some(source))
            });
            match known {
                Some(caller) => caller.parts.extend(parts),
                None => inner.callers.push_back(Caller { source, parts }),
            }
            if inner.gathers_until.is_some() && inner.bytes < PART_BYTES_QUIET {
                return true;
            }
        }
        self.changed.notify_one();
        true
    }

    pub(crate) fn close(&self) {
        self.inner().closed = true;
        self.room.close();
        self.room_in_turn.close();
        self.changed.notify_one();
    }

    pub(crate) fn next(&self) -> Next {
        let now = Instant::now();
        let mut inner = self.inner();
        inner.gathers_until = None;
        if inner.callers.is_empty() {
            if inner.closed { Next::End } else { Next::Wait }
        } else if inner.estimate.in_flight() >= inner.estimate.allowed(now) {
            Next::Wait
        } else if let Some(until) = inner.gathering(now) {
            inner.gathers_until = Some(until);
            Next::Gather(until)
        } else {
            Next::Send
        }
    }

    /// Takes what goes into the next command, where so many more connections are idle: each is to
    /// have its share of what waits and may leave. Parts whose callers have given up are left out;
    /// the command may be empty.
    pub(crate) fn gather(&self, idle: usize) -> (PushBatch, Sent) {
        let mut batch = PushBatch::default();
        let now = Instant::now();
        let mut inner = self.inner();
        let allowed = inner.estimate.allowed(now).saturating_sub(inner.estimate.in_flight()).max(1);
        let jobs = allowed.min(COMMAND_JOBS);
        // What one connection carries at once is not divided: more commands with less in each only
        // cost processor time.
        let at_once = if inner.is_quiet_and_far() { PART_BYTES_QUIET } else { PART_BYTES };
        // Of what waits, only as much as may leave: a fresh connection would send the whole share
        // of a giant batch over several round trips, while the others have nothing.
        let leaves = (inner.bytes as u64 * allowed.min(inner.jobs) as u64
            / inner.jobs.max(1) as u64) as usize;
        let bytes = leaves.div_ceil(idle + 1).clamp(at_once, COMMAND_BYTES);
        while let Some(mut caller) = inner.callers.pop_front() {
            let fits =
                caller.parts.front().is_none_or(|part| batch.has_room_for(part, jobs, bytes));
            if !fits {
                inner.callers.push_front(caller);
                break;
            }
            if let Some(part) = caller.parts.pop_front() {
                inner.jobs -= part.jobs.len();
                inner.bytes -= part.bytes;
                if part.claim.claim() {
                    batch.add(part);
                }
            }
            if !caller.parts.is_empty() {
                inner.callers.push_back(caller);
            }
        }
        let held_back = !inner.callers.is_empty();
        inner.left = Some(now);
        let sent = inner.estimate.sent(batch.jobs, held_back, now);
        (batch, sent)
    }

    pub(crate) fn answered(&self, sent: Sent) {
        let mut inner = self.inner();
        inner.estimate.answered(sent, Instant::now());
        self.tell_of_room(&inner);
    }

    pub(crate) fn over(&self, sent: Sent) {
        let mut inner = self.inner();
        inner.estimate.over(sent);
        self.tell_of_room(&inner);
    }

    /// Less is under way, which matters only to what waits for that.
    fn tell_of_room(&self, inner: &Inner) {
        if !inner.callers.is_empty() && inner.gathers_until.is_none() {
            self.changed.notify_one();
        }
    }

    /// Takes everything that waits.
    pub(crate) fn take_all(&self) -> Vec<Part> {
        let mut inner = self.inner();
        (inner.jobs, inner.bytes) = (0, 0);
        inner.callers.drain(..).flat_map(|caller| caller.parts).collect()
    }

    pub(crate) fn standing(&self) -> Standing {
        let inner = self.inner();
        let estimate = &inner.estimate;
        Standing {
            waiting: inner.jobs,
            in_flight: estimate.in_flight(),
            allowed: estimate.allowed(Instant::now()),
            smoothed: estimate.smoothed(),
            shortest: estimate.round_trip(),
        }
    }

    /// Learns how long the way takes without the server's work, and says how long that is after all
    /// that was learnt.
    pub(crate) fn note_distance(&self, distance: Duration) -> Duration {
        self.inner().estimate.note_distance(distance)
    }
}

/// Divides jobs into parts of up to so many bytes, in their order.
pub(crate) fn divide(jobs: Vec<EncodedJob>, bytes_max: usize) -> Vec<(Vec<EncodedJob>, usize)> {
    let mut parts: Vec<(Vec<EncodedJob>, usize)> = Vec::new();
    for job in jobs {
        let size = job.json.len() + 1;
        match parts.last_mut() {
            Some((part, bytes)) if part.len() < PART_JOBS && *bytes + size <= bytes_max => {
                part.push(job);
                *bytes += size;
            }
            _ => parts.push((vec![job], size)),
        }
    }
    parts
}
