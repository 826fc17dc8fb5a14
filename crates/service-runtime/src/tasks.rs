//! Tasks that a service needs for as long as it runs, and the word that one of them has ended. What
//! lies behind such an end is a fault of this program: the process ends in order, and whatever
//! started it starts it again. A service without the task would go on and do only a part of its
//! work, such as never read its keys again.

use std::collections::HashMap;
use std::future::Future;

use faktory_wire::Excerpt;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

/// The owner of such tasks. Dropped, it ends them.
#[derive(Debug, Default)]
pub struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

/// A task that was to run on has ended.
#[derive(Debug, thiserror::Error)]
#[error("a task that was to run on has ended: {name}, {why}")]
pub struct TaskEnded {
    name: &'static str,
    why: String,
    /// True where it was not the task's own doing.
    is_panic: bool,
}

impl Tasks {
    /// Runs a task on the current runtime.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        self.spawn_on(name, task, &Handle::current())
    }

    /// Runs a task on this runtime.
    pub fn spawn_on(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
        runtime: &Handle,
    ) -> AbortHandle {
        let handle = self.running.spawn_on(task, runtime);
        self.names.insert(handle.id(), name);
        handle
    }

    /// Waits for the next end of a task, while none is to end; for ever where there are no tasks.
    /// Cancel safe.
    pub async fn failed(&mut self) -> TaskEnded {
        match self.running.join_next_with_id().await {
            Some(ended) => self.taken_out(ended),
            None => std::future::pending().await,
        }
    }

    /// Waits until all tasks have ended, as they now are to; a panic is logged. Cancel safe.
    pub async fn all_ended(&mut self) {
        while let Some(ended) = self.running.join_next_with_id().await {
            let ended = self.taken_out(ended);
            if ended.is_panic {
                ended.log();
            }
        }
    }

    /// True where all have ended, and were waited for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Ends all of them.
    pub fn abort_all(&mut self) {
        self.running.abort_all();
    }

    fn taken_out(&mut self, ended: Result<(Id, ()), JoinError>) -> TaskEnded {
        let (id, why, is_panic) = match ended {
            Ok((id, ())) => (id, "without a word".into(), false),
            Err(error) => (error.id(), Excerpt(&error).to_string(), error.is_panic()),
        };
        TaskEnded { name: self.names.remove(&id).unwrap_or("unnamed"), why, is_panic }
    }
}

impl TaskEnded {
    /// The name of the task.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// True for a panic, which is a fault also in a task that may end.
    #[must_use]
    pub const fn is_panic(&self) -> bool {
        self.is_panic
    }

    /// Says it in the log.
    pub fn log(&self) {
        tracing::error!(
            task = self.name, why = %self.why,
            "a task that was to run on has ended; please report this"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_or_returns_is_told_by_its_name() {
        let mut tasks = Tasks::default();
        tasks.spawn("goes on", std::future::pending());
        tasks.spawn("panics", async { panic!("deliberate") });
        let ended = tasks.failed().await;
        assert_eq!((ended.name(), ended.is_panic()), ("panics", true));
        assert!(ended.to_string().contains("deliberate"), "{ended}");
        tasks.spawn("returns", async {});
        let ended = tasks.failed().await;
        assert_eq!((ended.name(), ended.is_panic()), ("returns", false));
        tasks.abort_all();
        tasks.all_ended().await;
        assert!(tasks.is_empty() && tasks.names.is_empty());
    }
}
