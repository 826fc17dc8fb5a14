//! The pusher: takes jobs from many callers and tells each caller the outcomes of its jobs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{TryAcquireError, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::chunk::{Chunk, Claim, divide};
use crate::dispatch::Dispatcher;
use crate::link_status::LinkStatus;
use crate::outcome::{EncodedJob, JobOutcome, NotSent};
use crate::permit::Permit;
use crate::pool::LinkPool;
use crate::queue::{FairnessKey, Queue};

/// The pusher of jobs over one link. Cheap to share by reference; stopped by [`Pusher::close`].
#[derive(Debug)]
pub struct Pusher {
    queue: Arc<Queue>,
    pool: LinkPool,
    max_wait: Duration,
    /// Fairness keys given out so far.
    fairness_keys: AtomicU64,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// The time for passing on within this process that a command is written, or its reply. It is not
/// used up, unless the system takes no bytes, or the chunk is sent a second time because the server
/// refused it together with others.
const PASSED_ON: Duration = Duration::from_secs(1);

const TOO_MANY: &str = "too many jobs are waiting to be sent";

impl Pusher {
    /// Starts a pusher over this pool.
    #[must_use]
    pub fn new(pool: LinkPool) -> Self {
        let queue = Arc::new(Queue::new());
        let task = tokio::spawn(Dispatcher::new(Arc::clone(&queue), pool.clone()).run());
        Self {
            queue,
            max_wait: pool.max_wait(),
            pool,
            fairness_keys: AtomicU64::new(0),
            task: Mutex::new(Some(task)),
        }
    }

    /// Pushes jobs and returns the outcome of each, in their order, by `deadline` at the latest: a
    /// job that has not been sent by then will not be, and a job that has been sent without an
    /// answer is unknown. Where too many jobs wait already, or the circuit is open, nothing is sent
    /// and the answer comes at once. No two jobs may have the same id.
    ///
    /// Not cancel safe in one respect: where the future is dropped, jobs that were not yet sent may
    /// still be.
    pub async fn push(&self, jobs: Vec<EncodedJob>, deadline: Instant) -> Vec<JobOutcome> {
        match self.admit(&jobs) {
            Ok(permit) => self.push_admitted(jobs, permit, None, deadline).await,
            Err(outcome) => vec![outcome; jobs.len()],
        }
    }

    /// A new fairness key, for a client with many requests: all jobs of that client together share
    /// the turns of one caller.
    #[must_use]
    pub fn new_fairness_key(&self) -> FairnessKey {
        FairnessKey(self.fairness_keys.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits for a permit for jobs of `bytes` bytes, and until the circuit is closed; for a client
    /// that can wait, and is then not refused because of the jobs of others. Cancel safe.
    ///
    /// # Errors
    /// Where there is no permit by the deadline, or the link ends: with the outcome of every job.
    pub async fn acquire_permit(
        &self,
        bytes: usize,
        deadline: Instant,
    ) -> Result<Permit, JobOutcome> {
        let acquired = async {
            loop {
                self.pool.breaker().until_closed().await;
                let permit = self.queue.budgets.acquire(bytes).await;
                // The circuit may have opened meanwhile.
                if self.pool.breaker().check(Instant::now()).is_ok() || permit.is_err() {
                    return permit;
                }
            }
        };
        tokio::select! {
            biased;
            permit = acquired => return permit.map_err(|_| closed()),
            () = self.queue.until_deadline_or_abandoned(deadline) => {}
        }
        Err(match (self.queue.not_sent_in_time(), self.refused_by_breaker()) {
            (JobOutcome::NotSent(NotSent::TimedOut, _), Some(refusal)) => refusal,
            (JobOutcome::NotSent(NotSent::TimedOut, _), None) => overloaded(TOO_MANY.into()),
            (other, _) => other,
        })
    }

    /// Pushes jobs as [`Pusher::push`] does, with a permit that the caller already holds.
    pub async fn push_with_permit(
        &self,
        jobs: Vec<EncodedJob>,
        permit: Permit,
        key: FairnessKey,
        deadline: Instant,
    ) -> Vec<JobOutcome> {
        self.push_admitted(jobs, permit, Some(key), deadline).await
    }

    async fn push_admitted(
        &self,
        jobs: Vec<EncodedJob>,
        permit: Permit,
        key: Option<FairnessKey>,
        deadline: Instant,
    ) -> Vec<JobOutcome> {
        let (count, permit) = (jobs.len(), Arc::new(permit));
        let since = Instant::now();
        let mut waiting = Vec::new();
        let chunks = divide(jobs, self.queue.chunk_bytes()).into_iter().map(|(jobs, bytes)| {
            let (answer, answered) = oneshot::channel();
            let claim = Claim::default();
            waiting.push(WaitingChunk { count: jobs.len(), claim: claim.clone(), answered });
            let _permit = Arc::clone(&permit);
            Chunk { jobs, bytes, claim, answer, since, deadline, _permit }
        });
        let chunks = chunks.collect();
        drop(permit);
        if !self.queue.add(key, chunks) {
            return vec![closed(); count];
        }
        let mut outcomes = Vec::with_capacity(count);
        for chunk in waiting {
            outcomes.extend(chunk.outcomes(&self.queue, deadline).await);
        }
        outcomes
    }

    /// Takes a permit for these jobs without waiting.
    fn admit(&self, jobs: &[EncodedJob]) -> Result<Permit, JobOutcome> {
        if let Some(refusal) = self.refused_by_breaker() {
            return Err(refusal);
        }
        if let Some(wait) = self.queue.too_long(self.max_wait) {
            return Err(overloaded(format!(
                "{TOO_MANY}: the work server needs about {:.1} s for those that came before",
                wait.as_secs_f64()
            )));
        }
        let bytes: usize = jobs.iter().map(|job| job.json.len() + 1).sum();
        self.queue.budgets.try_acquire(bytes).map_err(|error| match error {
            TryAcquireError::NoPermits => overloaded(TOO_MANY.into()),
            TryAcquireError::Closed => closed(),
        })
    }

    /// The outcome of new jobs while the circuit is open.
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

    /// The state of the link.
    #[must_use]
    pub fn status(&self) -> LinkStatus {
        let queue = self.queue.status();
        let breaker = self.pool.breaker();
        LinkStatus {
            waiting: queue.waiting,
            in_flight: queue.in_flight,
            allowed: queue.allowed,
            round_trip: queue.smoothed,
            round_trip_min: queue.shortest,
            connections: self.pool.size(),
            idle: self.pool.idle(),
            connections_max: self.pool.max_size(),
            breaker: breaker.state(),
            breaker_opened: breaker.opened(),
            connected: self.pool.connected(),
        }
    }

    /// Ends every wait now: a job that has not been sent will not be, and a job that has been sent
    /// without an answer is unknown.
    pub fn abandon(&self) {
        self.queue.abandoned.send_replace(true);
    }

    /// Takes no more jobs, and waits until all jobs that were taken are settled.
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

const fn overloaded(detail: String) -> JobOutcome {
    JobOutcome::NotSent(NotSent::Overloaded, detail)
}

/// The caller's end of a chunk.
struct WaitingChunk {
    count: usize,
    claim: Claim,
    answered: oneshot::Receiver<Vec<JobOutcome>>,
}

impl WaitingChunk {
    /// Waits for the outcomes of the chunk's jobs, until the deadline at the latest.
    async fn outcomes(mut self, queue: &Queue, deadline: Instant) -> Vec<JobOutcome> {
        let answered = tokio::select! {
            // An answer that has arrived counts, even where the deadline has passed too.
            biased;
            answered = &mut self.answered => Some(answered),
            () = queue.until_deadline_or_abandoned(deadline) => None,
        };
        let outcome = match answered {
            Some(Ok(outcomes)) => return outcomes,
            Some(Err(_)) => JobOutcome::Unknown("the link was closed before an answer came".into()),
            None if self.claim.try_cancel() => queue.not_sent_in_time(),
            None => match self.last_look().await {
                Some(outcomes) => return outcomes,
                None => JobOutcome::Unknown("sent, but no answer came in time".into()),
            },
        };
        vec![outcome; self.count]
    }

    /// The outcomes, where the reply to the chunk's command has arrived by now. The process may
    /// have been stopped until the deadline, and the reply may lie in the socket.
    async fn last_look(&mut self) -> Option<Vec<JobOutcome>> {
        // The sender has claimed the chunk, and may be about to write the command, or to note it.
        let flies = self.claim.flies();
        let flight = tokio::select! {
            biased;
            outcomes = &mut self.answered => return outcomes.ok(),
            flight = deadline::timeout(PASSED_ON, flies) => flight.ok()?,
        };
        if !flight.is_over().await {
            return None;
        }
        deadline::timeout(PASSED_ON, &mut self.answered).await.ok()?.ok()
    }
}
