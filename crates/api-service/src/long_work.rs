//! Work on long bodies. To parse, check and encode 16 MiB takes tens of milliseconds, in which a
//! thread of the runtime would serve nobody else: such work has threads of its own, of which few
//! work at a time.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::problem::{Code, Problem};
use crate::slow_threads::{self, SlowThreads};

/// The longest body on which a thread of the runtime works, in bytes: about a millisecond.
const SHORT_BYTES: usize = 128 << 10;

/// The turns of work on long bodies.
#[derive(Debug)]
pub(crate) struct LongWork {
    turns: Arc<Semaphore>,
    threads: Arc<SlowThreads>,
}

impl LongWork {
    /// Work on these threads, as much at a time as they are for.
    pub(crate) fn on(threads: Arc<SlowThreads>) -> Self {
        Self { turns: Arc::new(Semaphore::new(slow_threads::at_a_time())), threads }
    }

    /// So many work at a time.
    #[cfg(test)]
    pub(crate) fn with_turns(turns: usize) -> Self {
        let threads = Arc::new(SlowThreads::start());
        Self { turns: Arc::new(Semaphore::new(turns)), threads }
    }

    /// Does the work on a body of so many bytes; a long one waits for its turn until the deadline.
    /// Where this is dropped, work that has begun goes on, and nobody gets its result.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        if bytes <= SHORT_BYTES {
            return Ok(work());
        }
        let turn = timeout_at(deadline, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            let detail = "too many large bodies wait to be parsed; nothing was enqueued";
            return Err(Problem::new(Code::Overloaded, detail));
        };
        let working = self.threads.handle().spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        let broke = |_| Problem::new(Code::InternalError, "the work on the body broke off");
        working.await.map_err(broke)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use axum::response::IntoResponse;

    use super::*;

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[tokio::test]
    async fn work_on_a_long_body_leaves_its_thread_to_other_tasks() {
        let work = LongWork::with_turns(1);
        let (other_ran, wait) = mpsc::channel();
        let here = std::thread::current().id();
        let long = work.run(SHORT_BYTES + 1, far(), move || {
            // On the runtime's own thread the wait would have no end.
            std::thread::current().id() != here && wait.recv().is_ok()
        });
        // On a runtime of one thread, this runs only where the work does not hold that thread.
        let other = async {
            tokio::task::yield_now().await;
            let _ = other_ran.send(());
        };
        let (done, ()) = tokio::join!(long, other);
        assert!(done.is_ok_and(|done| done));
        assert!(work.run(SHORT_BYTES, far(), || true).await.is_ok_and(|done| done));
    }

    #[tokio::test(start_paused = true)]
    async fn who_gets_no_turn_before_the_deadline_is_refused() {
        let work = LongWork::with_turns(1);
        let held = Arc::clone(&work.turns).acquire_owned().await.unwrap();
        let soon = Instant::now() + Duration::from_secs(1);
        let refused = work.run(SHORT_BYTES + 1, soon, || ()).await.err().unwrap();
        assert_eq!(refused.into_response().status(), 503);
        drop(held);
        assert!(work.run(SHORT_BYTES + 1, far(), || ()).await.is_ok());
        assert_eq!(work.turns.available_permits(), 1);
    }
}
