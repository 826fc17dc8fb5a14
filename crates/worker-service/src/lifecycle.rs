//! The life of one worker: its state, its identity, its connection to the work server, and its end.
//! Which jobs come and go is in `flow.rs`.

use std::sync::OnceLock;

use faktory_link::WorkerIdentity;
use faktory_wire::WorkerState;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The life of one worker, as all its parts see it.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    /// What the worker may do, by the work server's word or its own.
    state: watch::Sender<WorkerState>,
    /// The worker's identity; a new one where the work server has forgotten the worker.
    identity: watch::Sender<WorkerIdentity>,
    /// True while the first ack lane has a connection.
    connected: watch::Sender<bool>,
    /// Why fetches fail, while they do.
    trouble: watch::Sender<Option<String>>,
    /// Fires when a fetch lane was lost: the first ack lane's connection may be dead too.
    suspicion: Notify,
    /// Cancelled when the worker is to end.
    shutdown: CancellationToken,
    /// When running jobs are failed and waiting jobs are requeued; set when the worker is to end.
    deadline: OnceLock<Instant>,
}

impl Lifecycle {
    /// A worker under a new id.
    pub(crate) fn new(hostname: String, labels: Vec<String>) -> Self {
        Self {
            state: watch::Sender::new(WorkerState::Running),
            identity: watch::Sender::new(WorkerIdentity { wid: new_wid(), hostname, labels }),
            connected: watch::Sender::new(false),
            trouble: watch::Sender::new(None),
            suspicion: Notify::new(),
            shutdown: CancellationToken::new(),
            deadline: OnceLock::new(),
        }
    }

    /// Moves the state on, never back. A caller for which nothing more is to be fetched stops the
    /// fetches first.
    pub(crate) fn advance(&self, to: WorkerState) {
        let moved = self.state.send_if_modified(|state| {
            let moves = to > *state;
            *state = (*state).max(to);
            moves
        });
        if moved {
            tracing::info!(state = to.word().unwrap_or("running"), "worker state");
        }
    }

    pub(crate) fn states(&self) -> watch::Receiver<WorkerState> {
        self.state.subscribe()
    }

    /// Resolves when the worker is to end. Cancel safe.
    pub(crate) async fn terminating(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as self.
        let _ = state.wait_for(|state| *state == WorkerState::Terminate).await;
    }

    pub(crate) fn state(&self) -> WorkerState {
        *self.state.borrow()
    }

    pub(crate) fn is_terminating(&self) -> bool {
        *self.state.borrow() == WorkerState::Terminate
    }

    pub(crate) fn identity(&self) -> WorkerIdentity {
        self.identity.borrow().clone()
    }

    pub(crate) fn identities(&self) -> watch::Receiver<WorkerIdentity> {
        self.identity.subscribe()
    }

    /// Takes a new worker id.
    pub(crate) fn renew_identity(&self) {
        self.identity.send_modify(|identity| identity.wid = new_wid());
    }

    /// Notes whether there is a connection to the work server.
    pub(crate) fn set_connected(&self, connected: bool) {
        self.connected.send_replace(connected);
    }

    pub(crate) fn connections(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    /// Notes how the latest FETCH went; logs a trouble once, and its end.
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

    /// Why the worker is not ready; none where there is a connection and fetches work, and are to
    /// go on.
    pub(crate) fn why_not_ready(&self) -> Option<String> {
        match *self.state.borrow() {
            WorkerState::Running => {}
            WorkerState::Quiet => {
                return Some(
                    "the worker is quiet: it fetches no more, and finishes what it has".into(),
                );
            }
            WorkerState::Terminate => return Some("the worker ends".into()),
        }
        if *self.connected.borrow() {
            self.trouble.borrow().as_ref().map(|why| format!("fetches fail: {why}"))
        } else {
            Some("no connection to the work server".into())
        }
    }

    /// Notes that a fetch lane was lost.
    pub(crate) fn suspect(&self) {
        self.suspicion.notify_one();
    }

    /// Resolves when a fetch lane was lost. Cancel safe.
    pub(crate) async fn suspected(&self) {
        self.suspicion.notified().await;
    }

    /// Sets when running jobs are failed and waiting jobs are requeued.
    pub(crate) fn set_deadline(&self, deadline: Instant) {
        let _ = self.deadline.set(deadline);
    }

    /// When running jobs are failed and waiting jobs are requeued; none while the worker is not to
    /// end.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline.get().copied()
    }

    /// Cancelled when the worker is to end.
    pub(crate) const fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }
}

/// A new worker id: 16 hex digits, as other workers have.
fn new_wid() -> String {
    format!("{:016x}", fastrand::u64(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifecycle() -> Lifecycle {
        Lifecycle::new("host".into(), vec![])
    }

    #[test]
    fn the_state_moves_on_and_never_back() {
        let lifecycle = lifecycle();
        for (to, expected) in [
            (WorkerState::Running, WorkerState::Running),
            (WorkerState::Quiet, WorkerState::Quiet),
            (WorkerState::Running, WorkerState::Quiet),
            (WorkerState::Quiet, WorkerState::Quiet),
            (WorkerState::Terminate, WorkerState::Terminate),
            (WorkerState::Quiet, WorkerState::Terminate),
        ] {
            lifecycle.advance(to);
            assert_eq!(*lifecycle.states().borrow(), expected, "{to:?}");
        }
        assert!(lifecycle.is_terminating());
    }

    #[test]
    fn a_worker_is_ready_while_it_has_a_connection_and_fetches_work() {
        let lifecycle = lifecycle();
        assert_eq!(lifecycle.why_not_ready().unwrap(), "no connection to the work server");
        lifecycle.set_connected(true);
        assert_eq!(lifecycle.why_not_ready(), None);
        lifecycle.note_fetch(Some("no disk"));
        assert_eq!(lifecycle.why_not_ready().unwrap(), "fetches fail: no disk");
        lifecycle.note_fetch(None);
        assert_eq!(lifecycle.why_not_ready(), None);
        lifecycle.advance(WorkerState::Quiet);
        assert!(lifecycle.why_not_ready().unwrap().contains("is quiet"));
        lifecycle.advance(WorkerState::Terminate);
        assert_eq!(lifecycle.why_not_ready().unwrap(), "the worker ends");
    }

    #[test]
    fn a_forgotten_worker_takes_another_id_and_keeps_its_name() {
        let lifecycle = lifecycle();
        let before = lifecycle.identity();
        lifecycle.renew_identity();
        let after = lifecycle.identity();
        assert_ne!(before.wid, after.wid);
        assert_eq!((after.wid.len(), after.hostname), (16, before.hostname));
    }
}
