//! The registry of the streams in progress: how many there may be, and who ends their tasks.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::problem::{Code, Problem};

/// The most streams at a time: each may hold its pending jobs, an unfinished line and a decoder.
const STREAMS_MAX: usize = 100;

/// The streams in progress.
#[derive(Debug)]
pub(crate) struct Streams {
    tasks: Mutex<JoinSet<()>>,
    permits: Arc<Semaphore>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { tasks: Mutex::default(), permits: Arc::new(Semaphore::new(STREAMS_MAX)) }
    }
}

impl Streams {
    /// A permit for one more stream.
    pub(crate) fn permit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let too_many = |_| {
            let detail =
                format!("{STREAMS_MAX} streams are in progress, the most that there may be");
            Problem::new(Code::Overloaded, detail)
        };
        Arc::clone(&self.permits).try_acquire_owned().map_err(too_many)
    }

    /// Starts the task of a stream.
    pub(crate) fn start(&self, stream: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(stream);
    }

    /// Ends the tasks that still run, and waits for their end.
    pub(crate) async fn end(&self) {
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}
