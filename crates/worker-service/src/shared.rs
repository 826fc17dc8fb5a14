//! What the parts of one worker share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use faktory_link::WorkerIdentity;
use faktory_wire::WorkerState;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::buffer::{Buffer, Buffered};
use crate::config::WorkerConfig;
use crate::fetch_line::FetchLine;
use crate::handler::Handler;
use crate::lanes_runtime::REST;
use crate::metrics::{Metrics, TypeMetrics};
use crate::prefetch::{Prefetch, Standing};
use crate::reports::Unreported;
use crate::running_jobs::RunningJobs;
use crate::unconfirmed::Unconfirmed;

/// What is registered for a job type.
pub(crate) struct Registered {
    pub(crate) handler: Arc<dyn Handler>,
    /// The longest that a run may take.
    pub(crate) limit: Option<Duration>,
    pub(crate) metrics: TypeMetrics,
}

pub(crate) struct Shared {
    pub(crate) config: WorkerConfig,
    pub(crate) handlers: HashMap<String, Registered>,
    pub(crate) fetch_line: FetchLine,
    pub(crate) prefetch: Mutex<Prefetch>,
    /// One for each lane: it may send, or is to connect.
    pub(crate) lanes: Vec<Notify>,
    pub(crate) buffer: Buffer,
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
    pub(crate) unreported: Arc<Unreported>,
    pub(crate) unconfirmed: Unconfirmed,
    /// A lane was lost: the ack lane's connection may be dead too.
    pub(crate) suspicion: Notify,
    /// Fires when the worker is to end.
    pub(crate) shutdown: CancellationToken,
    /// When what runs is failed and what does not is given back; set when the worker is to end.
    pub(crate) deadline: OnceLock<Instant>,
    pub(crate) metrics: Metrics,
    /// Jobs end so fast that the lanes' thread may rest in between.
    pub(crate) is_busy: Arc<AtomicBool>,
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
            self.prefetch().stop();
            tracing::info!(state = to.word().unwrap_or("running"), "worker state");
        }
    }

    /// Resolves when the worker is to end.
    pub(crate) async fn terminating(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as self.
        let _ = state.wait_for(|state| *state == WorkerState::Terminate).await;
    }

    pub(crate) fn is_terminating(&self) -> bool {
        *self.state.borrow() == WorkerState::Terminate
    }

    pub(crate) fn prefetch(&self) -> std::sync::MutexGuard<'_, Prefetch> {
        self.prefetch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something, and has the lanes send what may be sent after it.
    pub(crate) fn note<T>(&self, change: impl FnOnce(&mut Prefetch, Instant) -> T) -> T {
        let now = Instant::now();
        let mut prefetch = self.prefetch();
        let result = change(&mut prefetch, now);
        prefetch.grant(self.unreported.all(), now, |lane| self.wake(lane));
        self.is_busy.store(prefetch.rate(now) * REST.as_secs_f64() >= 1.0, Ordering::Relaxed);
        result
    }

    pub(crate) fn wake(&self, lane: usize) {
        if let Some(lane) = self.lanes.get(lane) {
            lane.notify_one();
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        self.prefetch().standing()
    }

    /// Puts fetched jobs where places to run take them from. They have been noted already.
    pub(crate) fn take_in(&self, bodies: Vec<bytes::Bytes>) {
        let came = Instant::now();
        self.metrics.fetched.increment(bodies.len() as u64);
        self.buffer.add(bodies.into_iter().map(|body| Buffered { body, came }));
    }

    /// Notes how the latest FETCH went; tells of trouble once, and of its end.
    pub(crate) fn note_fetch(&self, trouble: Option<&str>) {
        if trouble.is_none() && self.trouble.borrow().is_none() {
            return;
        }
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
