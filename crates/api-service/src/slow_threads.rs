//! Threads for work on large bodies: to decode, parse, check and encode them. They have a lower
//! priority than the threads that serve requests, so that whoever posts little comes first where
//! the processors are busy. Half of the processors, and at least one, do such work at a time.

use std::num::NonZero;

use tokio::runtime::{Builder, Handle, Runtime};

/// The priority, from 0 to 99, where 50 is that of other threads: a nice value of 9, which gives a
/// seventh of the time of a thread of normal priority that wants the same processor.
#[cfg(target_os = "linux")]
const PRIORITY: u8 = 24;

/// The threads. They end when this is dropped, or soon after it: work that has begun goes on.
#[derive(Debug)]
pub(crate) struct SlowThreads {
    /// `None` only where the system gives no threads.
    runtime: Option<Runtime>,
}

impl SlowThreads {
    /// Starts them.
    pub(crate) fn start() -> Self {
        let built = Builder::new_multi_thread()
            .worker_threads(at_a_time())
            .thread_name("large-bodies")
            .on_thread_start(lower_priority)
            // Who decodes may have to wait for memory.
            .enable_time()
            .build();
        match built {
            Ok(runtime) => Self { runtime: Some(runtime) },
            Err(error) => {
                tracing::warn!(%error, "no threads for large bodies: they hold up other requests");
                Self { runtime: None }
            }
        }
    }

    /// Where such work is begun: on these threads, or on those of the caller's runtime where there
    /// are none.
    pub(crate) fn handle(&self) -> Handle {
        self.runtime.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for SlowThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Large bodies that are worked on at a time.
pub(crate) fn at_a_time() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).div_ceil(2)
}

/// Elsewhere a priority may be that of the whole process.
#[cfg(not(target_os = "linux"))]
const fn lower_priority() {}

#[cfg(target_os = "linux")]
fn lower_priority() {
    use thread_priority::{ThreadPriority, ThreadPriorityValue, set_current_thread_priority};

    let lowered = ThreadPriorityValue::try_from(PRIORITY)
        .map(|value| set_current_thread_priority(ThreadPriority::Crossplatform(value)));
    if !matches!(lowered, Ok(Ok(()))) {
        tracing::debug!(?lowered, "the priority of a thread can't be lowered");
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// Name and nice value of this thread.
    fn this_thread() -> (String, i32) {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // proc(5): the 19th field; the second stands in parentheses.
        let nice = stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().parse().unwrap();
        (std::thread::current().name().unwrap_or_default().to_owned(), nice)
    }

    #[tokio::test]
    async fn work_on_large_bodies_comes_after_other_work() {
        let (_, usual) = this_thread();
        let threads = SlowThreads::start();
        let task = threads.handle().spawn(async { this_thread() });
        let blocking = threads.handle().spawn_blocking(this_thread);
        for (name, nice) in [task.await.unwrap(), blocking.await.unwrap()] {
            assert_eq!(name, "large-bodies");
            assert!(nice > usual, "{nice}");
        }
    }
}
