//! The buffer: jobs that were fetched and wait for a slot, and the memory of those that run. A job
//! gets a slot only when there is memory for it; a job that is larger than all memory runs alone.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::cost;

/// A body above this size is copied when its job gets a slot, so that the grant of the link, which
/// lasts as long as the bytes that it has read, is free for the next job that is read.
const COPIED_FROM: usize = 64 << 10;

/// A fetched job as it came.
#[derive(Debug)]
pub(crate) struct Buffered {
    /// The job's JSON.
    pub(crate) body: Bytes,
    /// When the job came, as far as this worker knows.
    pub(crate) came: Instant,
    /// Just before its FETCH was written: its reservation began after that. The job may have lain
    /// in the socket since then.
    pub(crate) fetched: Instant,
}

/// Bytes of a worker's jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bytewise {
    /// Of jobs that wait for a slot, as they came.
    pub(crate) waiting: usize,
    /// Of jobs that run, with what their args unpack to.
    pub(crate) running: usize,
}

/// The waiting jobs: first in, first out.
#[derive(Debug)]
pub(crate) struct Buffer {
    state: Mutex<State>,
    /// The memory for jobs that run, and of jobs that wait.
    budget: usize,
    /// A permit for each job, and one for each slot once no more jobs come.
    ready: Semaphore,
    /// Fires when the first job may have got memory.
    freed: Notify,
    is_closed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// The jobs, each with what it takes while it runs.
    jobs: VecDeque<(Buffered, usize)>,
    bytes: Bytewise,
}

/// The next job, where a slot may have it.
enum Next {
    /// The job, and what it takes while it runs.
    Job(Buffered, usize),
    /// There is no memory for it now.
    NoRoom,
    Nothing,
}

impl Buffer {
    /// A buffer for jobs that take up to `budget` bytes.
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            state: Mutex::default(),
            budget,
            ready: Semaphore::const_new(0),
            freed: Notify::new(),
            is_closed: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts jobs in, and wakes as many slots.
    pub(crate) fn add(&self, jobs: impl ExactSizeIterator<Item = Buffered>) {
        let count = jobs.len();
        let jobs: Vec<_> = jobs.map(|job| (cost::of(&job.body), job)).collect();
        let mut state = self.state();
        for (cost, job) in jobs {
            state.bytes.waiting += job.body.len();
            state.jobs.push_back((job, cost));
        }
        drop(state);
        self.ready.add_permits(count);
    }

    /// The next job, when there is memory for it, and what it takes of that until
    /// [`Buffer::ended`]; `None` once the buffer is closed and empty. Cancel safe.
    pub(crate) async fn next(&self) -> Option<(Buffered, usize)> {
        loop {
            let permit = self.ready.acquire().await.ok()?;
            let mut freed = None;
            loop {
                let next = self.state().next(self.budget);
                match next {
                    Next::Job(mut job, cost) => {
                        permit.forget();
                        if job.body.len() > COPIED_FROM {
                            job.body = Bytes::copy_from_slice(&job.body);
                        }
                        return Some((job, cost));
                    }
                    // Made before another look, so that no memory is missed that is freed.
                    Next::NoRoom => match freed.take() {
                        Some(freed) => freed.await,
                        None => freed = Some(self.freed.notified()),
                    },
                    Next::Nothing => {
                        permit.forget();
                        break;
                    }
                }
            }
            // The job was requeued, or the buffer is closed.
            if self.is_closed.load(Ordering::Acquire) {
                return None;
            }
        }
    }

    /// Notes that a job has ended that took so much.
    pub(crate) fn ended(&self, cost: usize) {
        self.state().bytes.running -= cost;
        self.freed.notify_waiters();
    }

    /// True where no more jobs are to be fetched: those that are here take all the memory.
    pub(crate) fn is_full(&self) -> bool {
        let Bytewise { waiting, running } = self.bytes();
        waiting + running >= self.budget
    }

    pub(crate) fn bytes(&self) -> Bytewise {
        self.state().bytes
    }

    /// True where the first job came before this.
    pub(crate) fn is_older_than(&self, came: Instant) -> bool {
        self.state().jobs.front().is_some_and(|(job, _)| job.came < came)
    }

    /// True where the FETCH of the first job was written before this.
    pub(crate) fn was_fetched_before(&self, time: Instant) -> bool {
        self.state().jobs.front().is_some_and(|(job, _)| job.fetched < time)
    }

    /// Takes the first job out.
    pub(crate) fn take(&self) -> Option<Buffered> {
        let mut state = self.state();
        let (job, _) = state.jobs.pop_front()?;
        state.bytes.waiting -= job.body.len();
        drop(state);
        // The job that is the first now may be smaller.
        self.freed.notify_waiters();
        Some(job)
    }

    pub(crate) fn len(&self) -> usize {
        self.state().jobs.len()
    }

    /// Closes the buffer: each of the slots ends once it finds no job.
    pub(crate) fn close(&self, slots: usize) {
        self.is_closed.store(true, Ordering::Release);
        self.ready.add_permits(slots);
    }
}

impl State {
    fn next(&mut self, budget: usize) -> Next {
        let Some((_, cost)) = self.jobs.front() else { return Next::Nothing };
        if self.bytes.running > 0 && self.bytes.running + cost > budget {
            return Next::NoRoom;
        }
        let Some((job, cost)) = self.jobs.pop_front() else { return Next::Nothing };
        self.bytes.waiting -= job.body.len();
        self.bytes.running += cost;
        Next::Job(job, cost)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn job(bytes: usize) -> Buffered {
        let now = Instant::now();
        Buffered { body: vec![b'x'; bytes].into(), came: now, fetched: now }
    }

    #[tokio::test]
    async fn a_job_waits_for_memory_behind_the_jobs_before_it() {
        let buffer = Buffer::new(100);
        buffer.add([job(20), job(25), job(5)].into_iter());
        let (_, first) = buffer.next().await.unwrap();
        assert_eq!((first, buffer.bytes()), (40, Bytewise { waiting: 30, running: 40 }));
        let (_, second) = buffer.next().await.unwrap();
        let mut third = Box::pin(buffer.next());
        assert_eq!(second, 50);
        assert!(third.as_mut().now_or_never().is_some(), "just enough");
        drop(third);
        buffer.add([job(1)].into_iter());
        let mut fourth = Box::pin(buffer.next());
        assert!(fourth.as_mut().now_or_never().is_none() && buffer.is_full());
        buffer.ended(first);
        assert_eq!(fourth.await.unwrap().1, 2);
        assert_eq!(buffer.bytes(), Bytewise { waiting: 0, running: 62 });
    }

    #[tokio::test]
    async fn a_job_larger_than_all_memory_runs_alone() {
        let buffer = Buffer::new(100);
        buffer.add([job(10), job(1000), job(10)].into_iter());
        let (_, first) = buffer.next().await.unwrap();
        let mut large = Box::pin(buffer.next());
        assert!(large.as_mut().now_or_never().is_none() && buffer.is_full());
        buffer.ended(first);
        let (_, cost) = large.await.unwrap();
        assert_eq!(cost, 2000);
        let mut last = Box::pin(buffer.next());
        assert!(last.as_mut().now_or_never().is_none());
        buffer.ended(cost);
        assert_eq!(last.await.unwrap().1, 20);
        assert!(!buffer.is_full());
    }

    #[tokio::test]
    async fn a_slot_that_waits_for_memory_gets_the_job_behind_one_that_is_requeued() {
        let buffer = Buffer::new(100);
        buffer.add([job(45), job(40), job(2)].into_iter());
        buffer.next().await.unwrap();
        let mut next = Box::pin(buffer.next());
        assert!(next.as_mut().now_or_never().is_none());
        assert_eq!(buffer.take().unwrap().body.len(), 40);
        assert_eq!(next.await.unwrap().1, 4);
        // The permit of the requeued job finds nothing, and the buffer's end is found behind it.
        buffer.close(1);
        assert!(buffer.next().await.is_none());
    }
}
