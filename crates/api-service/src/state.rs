//! What the handlers share.

use std::sync::Arc;

use faktory_link::Pusher;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::config::ApiConfig;
use crate::health::Health;
use crate::problem::{Code, Problem};
use crate::queue_names::QueueNames;

/// How far the service's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// It serves.
    No,
    /// It takes no new requests.
    Begun,
    /// The time for those in flight is over.
    TimeIsUp,
}

pub(crate) struct State {
    pub(crate) config: ApiConfig,
    pub(crate) pusher: Pusher,
    pub(crate) health: Health,
    pub(crate) queues: QueueNames,
    pub(crate) ending: watch::Sender<Ending>,
    /// What bodies that are being read may take in all, in units of [`crate::body::BUDGET_UNIT`].
    pub(crate) body_budget: Arc<Semaphore>,
    pub(crate) body_budget_units: u32,
}

/// Cheap to clone, as axum wants it.
pub(crate) type SharedState = Arc<State>;

impl State {
    /// By when a request that begins now has ended.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.config.request_timeout
    }

    /// Refuses a request that comes after the end has begun.
    pub(crate) fn check_serving(&self) -> Result<(), Problem> {
        if *self.ending.borrow() == Ending::No { Ok(()) } else { Err(shutting_down()) }
    }

    /// Resolves when requests in flight have no time left.
    pub(crate) async fn time_is_up(&self) {
        let mut ending = self.ending.subscribe();
        // The sender lives as long as this state.
        let _ = ending.wait_for(|ending| *ending == Ending::TimeIsUp).await;
    }
}

pub(crate) fn shutting_down() -> Problem {
    Problem::new(Code::ShuttingDown, "this service is shutting down; nothing was enqueued").closing()
}
