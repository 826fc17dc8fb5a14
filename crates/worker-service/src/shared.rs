//! What the lanes of one worker share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use faktory_link::WorkerIdentity;
use faktory_wire::WorkerState;
use tokio::sync::{Semaphore, watch};

use crate::config::WorkerConfig;
use crate::handler::Handler;
use crate::running_jobs::RunningJobs;

pub(crate) struct Shared {
    pub(crate) config: WorkerConfig,
    pub(crate) handlers: HashMap<String, Arc<dyn Handler>>,
    /// Free places for jobs.
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) running: RunningJobs,
    /// What this worker may do: by the work server's word or our own.
    pub(crate) state: watch::Sender<WorkerState>,
    /// Who this worker is; a new one where the work server has forgotten it.
    pub(crate) identity: watch::Sender<WorkerIdentity>,
    /// True while the ack lane has a connection.
    pub(crate) connected: watch::Sender<bool>,
    /// Why fetches fail, while they do.
    pub(crate) trouble: watch::Sender<Option<String>>,
    /// Ends of jobs that the work server has not acknowledged.
    pub(crate) unreported: AtomicUsize,
}

impl Shared {
    /// Moves on, never back.
    pub(crate) fn advance_state(&self, to: WorkerState) {
        let moved = self.state.send_if_modified(|state| {
            let moves = to > *state;
            *state = (*state).max(to);
            moves
        });
        if moved {
            tracing::info!(state = to.word().unwrap_or("running"), "worker state");
        }
    }

    /// Resolves when the worker is to end.
    pub(crate) async fn terminating(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as self.
        let _ = state.wait_for(|state| *state == WorkerState::Terminate).await;
    }

    /// Resolves when the worker may fetch, with true, or is to end, with false.
    pub(crate) async fn may_fetch(&self) -> bool {
        let mut state = self.state.subscribe();
        match state.wait_for(|state| *state != WorkerState::Quiet).await {
            Ok(state) => *state == WorkerState::Running,
            Err(_) => false,
        }
    }

    /// Notes how the latest FETCH went; tells of trouble once, and of its end.
    pub(crate) fn note_fetch(&self, trouble: Option<&str>) {
        self.trouble.send_if_modified(|noted| {
            let changed = noted.as_deref() != trouble;
            match trouble {
                Some(why) if changed => tracing::warn!(%why, "failed to fetch; trying for ever"),
                None if changed => tracing::info!("fetches work again"),
                Some(_) | None => {}
            }
            if changed {
                *noted = trouble.map(Into::into);
            }
            changed
        });
    }

    /// The job types that have handlers, for people.
    pub(crate) fn registered(&self) -> String {
        let mut names: Vec<&str> = self.handlers.keys().map(String::as_str).collect();
        names.sort_unstable();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }
}

/// A new worker id: 16 hex digits, as other workers have.
pub(crate) fn new_wid() -> String {
    format!("{:016x}", fastrand::u64(..))
}
