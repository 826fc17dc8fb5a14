//! The pusher: takes jobs from many callers and tells each what became of his.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::breaker::BreakerState;
use crate::dispatch::Dispatcher;
use crate::outcome::{EncodedJob, JobOutcome, NotSent};
use crate::pool::LinkPool;
use crate::push_batch::{Claim, Part};
use crate::queue::{Queue, ROOM_BYTES, divide};

/// Pushes jobs. Cheap to share by reference; stopped by [`Pusher::close`].
#[derive(Debug)]
pub struct Pusher {
    queue: Arc<Queue>,
    pool: LinkPool,
    max_wait: Duration,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What a caller does where much waits already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Hears at once that there is too much.
    None,
    /// Waits for room.
    UntilDeadline,
}

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
        Self { queue, max_wait: pool.max_wait(), pool, task: Mutex::new(Some(task)) }
    }

    /// Pushes jobs and returns what became of each, in their order, by `deadline` at the latest: what has not been sent
    /// by then will not be, and what has been sent without an answer is unknown. Where too much waits already, or the
    /// circuit is open, nothing is sent and the answer comes at once. No two jobs may have the same id.
    ///
    /// Not cancel safe in one respect: dropped early, jobs that were not yet sent may still be.
    pub async fn push(&self, jobs: Vec<EncodedJob>, deadline: Instant) -> Vec<JobOutcome> {
        self.push_with(jobs, deadline, Patience::None).await
    }

    /// As [`Pusher::push`], for a caller who can wait: where too much waits already, it waits for its turn.
    pub async fn push_in_turn(&self, jobs: Vec<EncodedJob>, deadline: Instant) -> Vec<JobOutcome> {
        self.push_with(jobs, deadline, Patience::UntilDeadline).await
    }

    async fn push_with(&self, jobs: Vec<EncodedJob>, deadline: Instant, patience: Patience) -> Vec<JobOutcome> {
        let count = jobs.len();
        let room = match self.admit(&jobs, deadline, patience).await {
            Ok(room) => Arc::new(room),
            Err(outcome) => return vec![outcome; count],
        };
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
        if !self.queue.add(parts) {
            return vec![JobOutcome::NotSent(NotSent::ShuttingDown, "the link is closed".into()); count];
        }
        let mut outcomes = Vec::with_capacity(count);
        for part in waiting {
            outcomes.extend(part.outcomes(&self.queue, deadline).await);
        }
        outcomes
    }

    /// Room for these jobs, or why there is none.
    async fn admit(&self, jobs: &[EncodedJob], deadline: Instant, patience: Patience) -> Result<OwnedSemaphorePermit, JobOutcome> {
        let not_sent = |reason, detail: String| Err(JobOutcome::NotSent(reason, detail));
        if let Err(again_in) = self.pool.breaker().check(Instant::now()) {
            let detail = format!("the work server has failed several times in a row; it is tried again in {:.1} s", again_in.as_secs_f64());
            return not_sent(NotSent::CircuitOpen, detail);
        }
        let bytes: usize = jobs.iter().map(|job| job.json.len() + 1).sum();
        let size = u32::try_from(bytes).unwrap_or(ROOM_BYTES).min(ROOM_BYTES);
        let room = Arc::clone(&self.queue.room);
        let too_much = "too many jobs are waiting to be sent";
        if patience == Patience::None {
            if let Some(wait) = self.queue.too_long(self.max_wait) {
                let detail = format!("{too_much}: the work server needs about {:.1} s for those that came before", wait.as_secs_f64());
                return not_sent(NotSent::Overloaded, detail);
            }
            return match room.try_acquire_many_owned(size) {
                Ok(room) => Ok(room),
                Err(tokio::sync::TryAcquireError::NoPermits) => not_sent(NotSent::Overloaded, too_much.into()),
                Err(tokio::sync::TryAcquireError::Closed) => not_sent(NotSent::ShuttingDown, "the link is closed".into()),
            };
        }
        tokio::select! {
            room = room.acquire_many_owned(size) => match room {
                Ok(room) => Ok(room),
                Err(_) => not_sent(NotSent::ShuttingDown, "the link is closed".into()),
            },
            () = self.queue.patience_ends(deadline) => match self.queue.out_of_patience() {
                JobOutcome::NotSent(NotSent::TimedOut, _) => not_sent(NotSent::Overloaded, too_much.into()),
                other => Err(other),
            },
        }
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

    /// Ends every wait now: what has not been sent will not be, what has been sent without an answer is unknown.
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
