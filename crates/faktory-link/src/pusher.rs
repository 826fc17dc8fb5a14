//! The pusher: takes jobs from many callers and tells each caller the outcomes of its jobs.

#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot::error::{RecvError, TryRecvError};
use tokio::sync::{TryAcquireError, oneshot, watch};
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
    /// Its sender is the task's.
    running: watch::Receiver<()>,
}

/// The time after the deadline, of a push as a whole, for passing on within this process that
/// commands are written, or their replies. It is not used up, unless the system takes no bytes, or
/// a chunk is sent a second time because the server refused it together with others.
const PASSED_ON: Duration = Duration::from_secs(1);
/// The same, once the pusher is abandoned: a program that ends gives the last answers little time,
/// the HTTP API one second.
const PASSED_ON_ABANDONED: Duration = Duration::from_millis(250);

const TOO_MANY: &str = "too many jobs are waiting to be sent";

impl Pusher {
    /// Starts a pusher over this pool.
    #[must_use]
    pub fn new(pool: LinkPool) -> Self {
        let queue = Arc::new(Queue::new());
        let dispatcher = Dispatcher::new(Arc::clone(&queue), pool.clone());
        let (runs, running) = watch::channel(());
        let task = tokio::spawn(async move {
            // Dropped when the task ends, however it does.
            let _runs = runs;
            dispatcher.run().await;
        });
        Self {
            queue,
            max_wait: pool.max_wait(),
            pool,
            fairness_keys: AtomicU64::new(0),
            task: Mutex::new(Some(task)),
            running,
        }
    }

    /// Resolves when the task that sends has ended: it was closed, or broke off by a fault of this
    /// crate, and nothing is sent any more. Cancel safe.
    pub async fn until_ended(&self) {
        let mut running = self.running.clone();
        while running.changed().await.is_ok() {}
    }

    /// Pushes jobs and returns the outcome of each, in their order, by `deadline`, or up to a
    /// second later where commands have been sent without an answer: a reply that lies in the
    /// socket is still read then. A job that has not been sent by the deadline will not be, and a
    /// job that has been sent without an answer is unknown; where the work server remembers ids,
    /// such a job is sent again until the deadline, or for half of the time for which its id is
    /// remembered. While the circuit is open, that waits for a probe to close it. Where too many
    /// jobs wait already, or the circuit is open, nothing is sent and the answer comes at once. No
    /// two jobs may have the same id.
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
            let earlier = None;
            Chunk { jobs, bytes, claim, answer, since, deadline, _permit, earlier }
        });
        let chunks = chunks.collect();
        drop(permit);
        if !self.queue.add(key, chunks) {
            return vec![closed(); count];
        }
        outcomes(waiting, &self.queue, deadline).await
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
        self.queue.budgets.try_acquire(EncodedJob::bytes_of(jobs)).map_err(|error| match error {
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
            once: self.pool.once(),
        }
    }

    /// Ends every wait, within a quarter of a second: a job that has not been sent will not be, and
    /// a job that has been sent without an answer is unknown.
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

/// Waits for the outcomes of the jobs of all chunks, in their order: until the deadline, or until
/// the pusher is abandoned, and then for [`PASSED_ON`] at the most, all chunks together.
async fn outcomes(chunks: Vec<WaitingChunk>, queue: &Queue, deadline: Instant) -> Vec<JobOutcome> {
    let mut outcomes = Vec::with_capacity(chunks.iter().map(|chunk| chunk.count).sum());
    let mut is_over = pin!(queue.until_deadline_or_abandoned(deadline));
    let mut chunks = chunks.into_iter();
    let mut late = Vec::new();
    for mut chunk in chunks.by_ref() {
        tokio::select! {
            // An answer that has arrived counts, even where the deadline has passed too.
            biased;
            answered = &mut chunk.answered => outcomes.extend(chunk.told(answered)),
            () = &mut is_over => {
                late.push(chunk);
                break;
            }
        }
    }
    late.extend(chunks);
    outcomes.extend(last_outcomes(late, queue).await);
    outcomes
}

/// The outcomes of chunks whose time is over: what is known of them by now, or soon.
async fn last_outcomes(mut chunks: Vec<WaitingChunk>, queue: &Queue) -> Vec<JobOutcome> {
    let (mut settled, mut sent) = (vec![None; chunks.len()], Vec::new());
    for (chunk, settled) in chunks.iter_mut().zip(&mut settled) {
        match chunk.answered.try_recv() {
            Err(TryRecvError::Empty) if chunk.claim.try_cancel() => {
                *settled = Some(vec![queue.not_sent_in_time(); chunk.count]);
            }
            Err(TryRecvError::Empty) => sent.push((chunk, settled)),
            Ok(outcomes) => *settled = Some(outcomes),
            Err(TryRecvError::Closed) => *settled = Some(chunk.lost()),
        }
    }
    // All at the same time, so that one chunk without an answer costs the others nothing.
    let looks = sent.into_iter().map(async |(chunk, settled)| *settled = chunk.last_look().await);
    {
        let mut looks = pin!(join_all(looks));
        let is_settled = tokio::select! {
            biased;
            _ = deadline::timeout(PASSED_ON, &mut looks) => true,
            () = queue.until_abandoned() => false,
        };
        if !is_settled {
            let _ = deadline::timeout(PASSED_ON_ABANDONED, looks).await;
        }
    }
    let unknown = JobOutcome::Unknown("sent, but no answer came in time".into());
    let settled = settled.into_iter().zip(&chunks);
    settled
        .flat_map(|(outcomes, chunk)| {
            outcomes.unwrap_or_else(|| vec![unknown.clone(); chunk.count])
        })
        .collect()
}

/// The caller's end of a chunk.
struct WaitingChunk {
    count: usize,
    claim: Claim,
    answered: oneshot::Receiver<Vec<JobOutcome>>,
}

impl WaitingChunk {
    /// The outcomes that the sender of the chunk has told, or that it is gone.
    fn told(&self, answered: Result<Vec<JobOutcome>, RecvError>) -> Vec<JobOutcome> {
        answered.unwrap_or_else(|_| self.lost())
    }

    fn lost(&self) -> Vec<JobOutcome> {
        let why = "the link was closed before an answer came";
        vec![JobOutcome::Unknown(why.into()); self.count]
    }

    /// The outcomes, where the reply to the chunk's command has arrived by now. The process may
    /// have been stopped until the deadline, and the reply may lie in the socket.
    async fn last_look(&mut self) -> Option<Vec<JobOutcome>> {
        // The sender has claimed the chunk, and may be about to write the command, or to note it.
        let flies = self.claim.flies();
        let flight = tokio::select! {
            biased;
            outcomes = &mut self.answered => return outcomes.ok(),
            flight = flies => flight,
        };
        if !flight.is_over().await {
            return None;
        }
        (&mut self.answered).await.ok()
    }
}
