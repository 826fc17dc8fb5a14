//! The pusher: takes jobs from many callers and tells each what became of his.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, TryAcquireError, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::breaker::BreakerState;
use crate::dispatch::Dispatcher;
use crate::outcome::{EncodedJob, JobOutcome, NotSent};
use crate::pool::LinkPool;
use crate::push_batch::{Claim, Part};
use crate::queue::{Queue, ROOM_BYTES, ROOM_IN_TURN_BYTES, Source, divide};

/// Pushes jobs. Cheap to share by reference; stopped by [`Pusher::close`].
#[derive(Debug)]
pub struct Pusher {
    queue: Arc<Queue>,
    pool: LinkPool,
    max_wait: Duration,
    /// So many were given out.
    sources: AtomicU64,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Room for jobs that wait or are in flight.
#[derive(Debug)]
pub struct Room {
    _permit: OwnedSemaphorePermit,
}

impl Room {
    pub(crate) const fn of(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: permit }
    }
}

const TOO_MUCH: &str = "too many jobs are waiting to be sent";

/// How a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkStatus {
    /// Jobs that wait to leave.
    pub waiting: usize,
    /// Jobs sent and not yet answered.
    pub in_flight: usize,
    /// Jobs that may be in flight.
    pub allowed: usize,
    /// From a command to its answer, smoothed; `None` before the first.
    pub round_trip: Option<Duration>,
    /// The shortest of late.
    pub round_trip_min: Option<Duration>,
    /// Connections there are.
    pub connections: usize,
    /// Connections that are not writing.
    pub idle: usize,
    /// Connections that there may be.
    pub connections_max: usize,
    /// How the breaker stands.
    pub breaker: BreakerState,
    /// How often the breaker has opened.
    pub breaker_opened: u64,
    /// Connections made so far.
    pub connected: u64,
}

impl Pusher {
    /// Starts sending over this pool.
    #[must_use]
    pub fn new(pool: LinkPool) -> Self {
        let queue = Arc::new(Queue::new());
        let task = tokio::spawn(Dispatcher::new(Arc::clone(&queue), pool.clone()).run());
        Self {
            queue,
            max_wait: pool.max_wait(),
            pool,
            sources: AtomicU64::new(0),
            task: Mutex::new(Some(task)),
        }
    }

    /// Pushes jobs and returns what became of each, in their order, by `deadline` at the latest:
    /// what has not been sent by then will not be, and what has been sent without an answer is
    /// unknown. Where too much waits already, or the circuit is open, nothing is sent and the
    /// answer comes at once. No two jobs may have the same id.
    ///
    /// Not cancel safe in one respect: dropped early, jobs that were not yet sent may still be.
    pub async fn push(&self, jobs: Vec<EncodedJob>, deadline: Instant) -> Vec<JobOutcome> {
        match self.admit(&jobs) {
            Ok(room) => self.push_admitted(jobs, room, None, deadline).await,
            Err(outcome) => vec![outcome; jobs.len()],
        }
    }

    /// For a caller who comes again and again: his jobs take turns with those of others as one.
    #[must_use]
    pub fn source(&self) -> Source {
        Source(self.sources.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits for room for jobs of so many bytes, and while the circuit is open; for a caller who
    /// can wait, and is then not refused for what others have waiting. Cancel safe.
    ///
    /// # Errors
    /// Where there is none by the deadline, or the link ends: with what to say of every job.
    pub async fn room_in_turn(&self, bytes: usize, deadline: Instant) -> Result<Room, JobOutcome> {
        let size = u32::try_from(bytes).unwrap_or(ROOM_IN_TURN_BYTES).min(ROOM_IN_TURN_BYTES);
        let turn = async {
            loop {
                self.pool.breaker().until_closed().await;
                let room = Arc::clone(&self.queue.room_in_turn).acquire_many_owned(size).await;
                // It may have opened meanwhile.
                if self.pool.breaker().check(Instant::now()).is_ok() || room.is_err() {
                    return room;
                }
            }
        };
        tokio::select! {
            room = turn => room.map(Room::of).map_err(|_| closed()),
            () = self.queue.patience_ends(deadline) => match (self.queue.out_of_patience(), self.refused_by_breaker()) {
                (JobOutcome::NotSent(NotSent::TimedOut, _), Some(refusal)) => Err(refusal),
                (JobOutcome::NotSent(NotSent::TimedOut, _), None) => Err(JobOutcome::NotSent(NotSent::Overloaded, TOO_MUCH.into())),
                (other, _) => Err(other),
            },
        }
    }

    /// As [`Pusher::push`], for jobs that have room already.
    pub async fn push_in_turn(
        &self,
        jobs: Vec<EncodedJob>,
        room: Room,
        source: Source,
        deadline: Instant,
    ) -> Vec<JobOutcome> {
        self.push_admitted(jobs, room, Some(source), deadline).await
    }

    async fn push_admitted(
        &self,
        jobs: Vec<EncodedJob>,
        room: Room,
        source: Option<Source>,
        deadline: Instant,
    ) -> Vec<JobOutcome> {
        let (count, room) = (jobs.len(), Arc::new(room));
        let since = Instant::now();
        let mut waiting = Vec::new();
        let parts = divide(jobs, self.queue.part_bytes()).into_iter().map(|(jobs, bytes)| {
            let (answer, answered) = oneshot::channel();
            let claim = Claim::default();
            waiting.push(Waiting { count: jobs.len(), claim: claim.clone(), answered });
            Part { jobs, bytes, claim, answer, since, _room: Arc::clone(&room) }
        });
        let parts = parts.collect();
        drop(room);
        if !self.queue.add(source, parts) {
            return vec![closed(); count];
        }
        let mut outcomes = Vec::with_capacity(count);
        for part in waiting {
            outcomes.extend(part.outcomes(&self.queue, deadline).await);
        }
        outcomes
    }

    /// Room for these jobs, or why there is none.
    fn admit(&self, jobs: &[EncodedJob]) -> Result<Room, JobOutcome> {
        if let Some(refusal) = self.refused_by_breaker() {
            return Err(refusal);
        }
        if let Some(wait) = self.queue.too_long(self.max_wait) {
            let detail = format!(
                "{TOO_MUCH}: the work server needs about {:.1} s for those that came before",
                wait.as_secs_f64()
            );
            return Err(JobOutcome::NotSent(NotSent::Overloaded, detail));
        }
        let bytes: usize = jobs.iter().map(|job| job.json.len() + 1).sum();
        let size = u32::try_from(bytes).unwrap_or(ROOM_BYTES).min(ROOM_BYTES);
        Arc::clone(&self.queue.room).try_acquire_many_owned(size).map(Room::of).map_err(|error| {
            match error {
                TryAcquireError::NoPermits => {
                    JobOutcome::NotSent(NotSent::Overloaded, TOO_MUCH.into())
                }
                TryAcquireError::Closed => closed(),
            }
        })
    }

    fn refused_by_breaker(&self) -> Option<JobOutcome> {
        let again_in = self.pool.breaker().check(Instant::now()).err()?;
        let detail = if again_in.is_zero() {
            "the work server has failed several times in a row; it is being tried again".into()
        } else {
            format!(
                "the work server has failed several times in a row; it is tried again in {:.1} s",
                again_in.as_secs_f64()
            )
        };
        Some(JobOutcome::NotSent(NotSent::CircuitOpen { again_in }, detail))
    }

    /// How the link stands.
    #[must_use]
    pub fn status(&self) -> LinkStatus {
        let standing = self.queue.standing();
        let breaker = self.pool.breaker();
        LinkStatus {
            waiting: standing.waiting,
            in_flight: standing.in_flight,
            allowed: standing.allowed,
            round_trip: standing.smoothed,
            round_trip_min: standing.shortest,
            connections: self.pool.size(),
            idle: self.pool.idle(),
            connections_max: self.pool.max_size(),
            breaker: breaker.state(),
            breaker_opened: breaker.opened(),
            connected: self.pool.connected(),
        }
    }

    /// Ends every wait now: what has not been sent will not be, what has been sent without an
    /// answer is unknown.
    pub fn abandon(&self) {
        self.queue.abandoned.send_replace(true);
    }

    /// Takes no more jobs, and waits until those taken are settled.
    pub async fn close(&self) {
        self.queue.close();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

fn closed() -> JobOutcome {
    JobOutcome::NotSent(NotSent::ShuttingDown, "the link is closed".into())
}

/// A part on its way, seen by its caller.
struct Waiting {
    count: usize,
    claim: Claim,
    answered: oneshot::Receiver<Vec<JobOutcome>>,
}

impl Waiting {
    async fn outcomes(self, queue: &Queue, deadline: Instant) -> Vec<JobOutcome> {
        let answered = tokio::select! {
            // An answer that is there counts, however late it is looked at.
            biased;
            answered = self.answered => Some(answered),
            () = queue.patience_ends(deadline) => None,
        };
        let outcome = match answered {
            Some(Ok(outcomes)) => return outcomes,
            Some(Err(_)) => JobOutcome::Unknown("the link was closed before an answer came".into()),
            None if self.claim.give_up() => queue.out_of_patience(),
            None => JobOutcome::Unknown("sent, but no answer came in time".into()),
        };
        vec![outcome; self.count]
    }
}
