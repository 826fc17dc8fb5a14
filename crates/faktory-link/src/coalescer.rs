//! The coalescer: takes jobs from many callers and sends them over the pool, together where that is natural.
//!
//! A part waits only for a connection. While it waits others gather behind it, and all that gathered leaves in one
//! PUSHB: a busy link batches, an idle one does not. No timer is involved.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::outcome::{EncodedJob, JobOutcome, NotSent};
use crate::pool::{LinkPool, PoolFailure, Pooled};
use crate::push_batch::{After, Claim, Part, PushBatch};

/// A caller's jobs are divided into parts of up to so many jobs and bytes, which spread over connections.
const PART_JOBS: usize = 250;
const PART_BYTES: usize = 128 << 10;
/// One command carries up to so many: the server has 5 s for it, and takes 20 to 30 ms for 1,000 jobs (measured on Faktory).
const COMMAND_JOBS: usize = 1000;
const COMMAND_BYTES: usize = 1 << 20;
/// Jobs waiting or in flight, in bytes; who comes then waits for room.
const QUEUED_BYTES: u32 = 64 << 20;
/// Connections that a command that never left may be tried on.
const ATTEMPTS: usize = 3;

/// How soon the pool is asked again after it could make no further connection.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Pushes jobs. Cheap to share by reference; stopped by [`Pusher::close`].
#[derive(Debug)]
pub struct Pusher {
    queue: Arc<Queue>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Queue {
    parts: Mutex<State>,
    /// A part was added, or the queue was closed.
    changed: Notify,
    room: Arc<Semaphore>,
    /// True once nobody is to wait any longer.
    abandoned: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(Part, OwnedSemaphorePermit)>,
    closed: bool,
}

impl Queue {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when nobody is to wait any longer: at the deadline, or when the pusher is abandoned.
    async fn patience_ends(&self, deadline: Instant) {
        let mut abandoned = self.abandoned.subscribe();
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => {}
            _ = abandoned.wait_for(|abandoned| *abandoned) => {}
        }
    }

    fn out_of_patience(&self) -> (NotSent, &'static str) {
        if *self.abandoned.borrow() {
            (NotSent::ShuttingDown, "the service is shutting down")
        } else {
            (NotSent::TimedOut, "the time for the request ran out")
        }
    }
}

impl Pusher {
    /// Starts sending over this pool.
    #[must_use]
    pub fn new(pool: LinkPool) -> Self {
        let queue = Arc::new(Queue {
            parts: Mutex::default(),
            changed: Notify::new(),
            room: Arc::new(Semaphore::new(QUEUED_BYTES as usize)),
            abandoned: watch::Sender::new(false),
        });
        let task = tokio::spawn(dispatch(Arc::clone(&queue), pool));
        Self { queue, task: Mutex::new(Some(task)) }
    }

    /// Pushes jobs and returns what became of each, in their order, by `deadline` at the latest: what has not been sent
    /// by then will not be, and what has been sent without an answer is unknown. No two jobs may have the same id.
    ///
    /// Not cancel safe in one respect: dropped early, jobs that were not yet sent may still be.
    pub async fn push(&self, jobs: Vec<EncodedJob>, deadline: Instant) -> Vec<JobOutcome> {
        let mut waiting = Vec::new();
        let mut outcomes = Vec::with_capacity(jobs.len());
        for jobs in divide(jobs) {
            waiting.push(self.enqueue(jobs, deadline).await);
        }
        for part in waiting {
            match part {
                Ok(sent) => outcomes.extend(sent.outcomes(&self.queue, deadline).await),
                Err((count, outcome)) => outcomes.extend(std::iter::repeat_n(outcome, count)),
            }
        }
        outcomes
    }

    async fn enqueue(&self, jobs: Vec<EncodedJob>, deadline: Instant) -> Result<Waiting, (usize, JobOutcome)> {
        let count = jobs.len();
        let bytes: usize = jobs.iter().map(|job| job.json.len() + 1).sum();
        let size = u32::try_from(bytes).unwrap_or(QUEUED_BYTES).min(QUEUED_BYTES);
        let not_sent = |reason, detail: &str| Err((count, JobOutcome::NotSent(reason, detail.into())));
        let room = Arc::clone(&self.queue.room).acquire_many_owned(size);
        let room = tokio::select! {
            room = room => match room {
                Ok(room) => room,
                Err(_) => return not_sent(NotSent::ShuttingDown, "the link is closed"),
            },
            () = self.queue.patience_ends(deadline) => return match self.queue.out_of_patience() {
                (NotSent::TimedOut, _) => not_sent(NotSent::Overloaded, "too many jobs are waiting to be sent"),
                (reason, detail) => not_sent(reason, detail),
            },
        };
        let (answer, answered) = oneshot::channel();
        let claim = Claim::default();
        let part = Part { jobs, bytes, claim: claim.clone(), answer };
        {
            let mut state = self.queue.state();
            if state.closed {
                return not_sent(NotSent::ShuttingDown, "the link is closed");
            }
            state.waiting.push_back((part, room));
        }
        self.queue.changed.notify_one();
        Ok(Waiting { count, claim, answered })
    }

    /// Ends every wait now: what has not been sent will not be, what has been sent without an answer is unknown.
    pub fn abandon(&self) {
        self.queue.abandoned.send_replace(true);
    }

    /// Takes no more jobs, and waits until those taken are settled.
    pub async fn close(&self) {
        self.queue.state().closed = true;
        self.queue.room.close();
        self.queue.changed.notify_one();
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
            None if self.claim.give_up() => {
                let (reason, detail) = queue.out_of_patience();
                JobOutcome::NotSent(reason, detail.into())
            }
            None => JobOutcome::Unknown("sent, but no answer came in time".into()),
        };
        vec![outcome; self.count]
    }
}

/// Divides jobs into parts, in their order.
fn divide(jobs: Vec<EncodedJob>) -> Vec<Vec<EncodedJob>> {
    let mut parts: Vec<Vec<EncodedJob>> = Vec::new();
    let mut bytes = 0;
    for job in jobs {
        let size = job.json.len() + 1;
        match parts.last_mut() {
            Some(part) if part.len() < PART_JOBS && bytes + size <= PART_BYTES => {
                part.push(job);
                bytes += size;
            }
            _ => {
                parts.push(vec![job]);
                bytes = size;
            }
        }
    }
    parts
}

/// Gives each free connection what has gathered, until the queue is closed and empty.
async fn dispatch(queue: Arc<Queue>, pool: LinkPool) {
    let mut sending = JoinSet::new();
    let mut connections = Connections { pool: pool.clone(), asking: JoinSet::new(), returned: Arc::new(Notify::new()) };
    loop {
        let changed = queue.changed.notified();
        let (empty, closed) = {
            let state = queue.state();
            (state.waiting.is_empty(), state.closed)
        };
        if empty {
            if closed {
                break;
            }
            tokio::select! {
                () = changed => {}
                // What was asked for and is no longer needed goes into the pool, where others find it.
                Some(_) = connections.asking.join_next() => {}
            }
            continue;
        }
        while sending.try_join_next().is_some() {}
        match connections.next().await {
            Ok(connection) => {
                let (batch, room) = gather(&queue);
                if !batch.parts.is_empty() {
                    let (pool, returned) = (pool.clone(), Arc::clone(&connections.returned));
                    sending.spawn(async move {
                        send(&pool, connection, batch, room, &returned).await;
                    });
                }
            }
            Err(failure) => {
                // Everyone who waits by now has waited through this failure.
                let outcome = unreachable(&failure);
                let failed: Vec<_> = queue.state().waiting.drain(..).collect();
                failed.into_iter().for_each(|(part, _)| part.answer_all(&outcome));
            }
        }
    }
    while sending.join_next().await.is_some() {}
}

/// Where the next command can go: over a connection that is idle, or becomes so, or is new. New ones are made beside the
/// others, so that a server that does not greet holds up nothing that a live connection could carry.
struct Connections {
    pool: LinkPool,
    /// Requests to the pool that have not been answered; the pool's size bounds them.
    asking: JoinSet<Result<Pooled, PoolFailure>>,
    /// A connection has gone back into the pool.
    returned: Arc<Notify>,
}

impl Connections {
    async fn next(&mut self) -> Result<Pooled, PoolFailure> {
        // What came too late for an earlier command goes into the pool.
        while self.asking.try_join_next().is_some() {}
        let mut ask = true;
        loop {
            // Registered before the pool is asked, so that none is missed.
            let returned = Arc::clone(&self.returned);
            let mut returned = std::pin::pin!(returned.notified());
            returned.as_mut().enable();
            if ask && self.asking.len() <= self.pool.max_size() {
                let pool = self.pool.clone();
                self.asking.spawn(async move { pool.get().await });
            }
            tokio::select! {
                Some(answer) = self.asking.join_next() => {
                    match answer.unwrap_or_else(|error| Err(PoolFailure::Pool(error.to_string()))) {
                        Ok(connection) => return Ok(connection),
                        Err(failure) if self.pool.size() == 0 => return Err(failure),
                        // A new one could not be made; those that are there come back.
                        Err(failure) => {
                            tracing::debug!(%failure, "no further connection");
                            ask = false;
                        }
                    }
                }
                () = returned => ask = true,
                // Others hold connections too, and give them back without a word.
                () = tokio::time::sleep(ASK_AGAIN), if !ask => ask = true,
            }
        }
    }
}

fn unreachable(failure: &PoolFailure) -> JobOutcome {
    let reason = if failure.is_refusal() {
        NotSent::Refused
    } else if failure.is_exhaustion() {
        NotSent::Overloaded
    } else {
        NotSent::Unreachable
    };
    JobOutcome::NotSent(reason, failure.shared_text().to_string())
}

/// Takes what goes into the next command; parts whose callers have given up are left out.
fn gather(queue: &Queue) -> (PushBatch, Vec<OwnedSemaphorePermit>) {
    let mut batch = PushBatch::default();
    let mut room = Vec::new();
    let mut state = queue.state();
    while let Some((part, _)) = state.waiting.front() {
        if !batch.has_room_for(part, COMMAND_JOBS, COMMAND_BYTES) {
            break;
        }
        if let Some((part, permit)) = state.waiting.pop_front()
            && part.claim.claim()
        {
            batch.add(part);
            room.push(permit);
        }
    }
    (batch, room)
}

/// Sends one command and settles it. The connection is held only until the command is written.
async fn send(pool: &LinkPool, connection: Pooled, batch: PushBatch, room: Vec<OwnedSemaphorePermit>, returned: &Notify) {
    if let After::Apart(parts) = send_batch(pool, Some(connection), batch, returned).await {
        for part in parts {
            let mut alone = PushBatch::default();
            alone.add(part);
            send_batch(pool, None, alone, returned).await;
        }
    }
    drop(room);
}

async fn send_batch(pool: &LinkPool, mut connection: Option<Pooled>, batch: PushBatch, returned: &Notify) -> After {
    let line = batch.line();
    let mut last_failure = JobOutcome::NotSent(NotSent::Unreachable, "no connection".into());
    for _ in 0..ATTEMPTS {
        let held = match connection.take() {
            Some(held) => held,
            None => match pool.get().await {
                Ok(held) => held,
                Err(failure) => {
                    last_failure = unreachable(&failure);
                    break;
                }
            },
        };
        let submitted = held.submit(line.clone()).await;
        drop(held);
        returned.notify_one();
        let answered = match submitted {
            Ok(pending) => pending.await,
            Err(lost) => Err(lost),
        };
        match answered {
            Ok(reply) => return batch.settle(&reply),
            Err(lost) if lost.sent => {
                batch.answer_all(&JobOutcome::Unknown(lost.to_string()));
                return After::Done;
            }
            // The server never saw the whole line, so another connection may carry it.
            Err(lost) => last_failure = not_sent(&lost),
        }
    }
    batch.answer_all(&last_failure);
    After::Done
}

fn not_sent(lost: &crate::error::Lost) -> JobOutcome {
    let reason = match &*lost.cause {
        crate::error::LinkError::Refused(_) => NotSent::Refused,
        crate::error::LinkError::ClosedHere => NotSent::ShuttingDown,
        _ => NotSent::Unreachable,
    };
    JobOutcome::NotSent(reason, lost.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(size: usize) -> EncodedJob {
        EncodedJob { jid: "j".into(), json: vec![b'x'; size] }
    }

    #[test]
    fn jobs_are_divided_by_count_and_by_bytes_and_keep_their_order() {
        let sizes = |jobs| divide(jobs).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![job(10); 600]), [250, 250, 100]);
        assert_eq!(sizes(vec![job(50_000); 5]), [2, 2, 1]);
        assert_eq!(sizes(vec![job(10), job(1_000_000), job(10)]), [1, 1, 1]);
        assert_eq!(sizes(vec![]), [] as [usize; 0]);
    }
}
