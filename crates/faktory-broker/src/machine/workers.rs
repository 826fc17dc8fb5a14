//! The workers: for each worker id, its connections, its state, and the time of its last
//! heartbeat.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use faktory_wire::{Beat, Excerpt, Reply, WorkerState};

use super::{ConnectionId, Now};

/// The longest time between two heartbeats. A worker that is silent for longer loses its
/// connections.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The time between two checks for silent workers.
const CHECK_EVERY: Duration = Duration::from_secs(15);

/// A worker: all connections with the same worker id.
#[derive(Debug)]
struct Worker {
    state: WorkerState,
    connections: HashSet<ConnectionId>,
    last_beat: Duration,
}

impl Worker {
    fn is_silent(&self, now: Duration) -> bool {
        now.saturating_sub(self.last_beat) > SILENCE_MAX
    }
}

/// All workers that have a connection.
#[derive(Debug, Default)]
pub(super) struct Workers {
    by_wid: HashMap<String, Worker>,
    next_check: Duration,
    pub(super) reaped: u64,
}

impl Workers {
    pub(super) fn join(&mut self, wid: &str, connection: ConnectionId, now: Now) {
        let fresh = || Worker {
            state: WorkerState::Running,
            connections: HashSet::new(),
            last_beat: now.monotonic,
        };
        let worker = self.by_wid.entry(wid.to_owned()).or_insert_with(fresh);
        worker.connections.insert(connection);
        worker.last_beat = now.monotonic;
    }

    pub(super) fn leave(&mut self, wid: &str, connection: ConnectionId) {
        if let Some(worker) = self.by_wid.get_mut(wid) {
            worker.connections.remove(&connection);
            if worker.connections.is_empty() {
                self.by_wid.remove(wid);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_wid.len()
    }

    /// True where a client may get a job. A client without a worker id always may.
    pub(super) fn may_fetch(&self, wid: Option<&str>) -> bool {
        wid.and_then(|wid| self.by_wid.get(wid))
            .is_none_or(|worker| worker.state == WorkerState::Running)
    }

    pub(super) fn beat(&mut self, beat: &Beat, now: Now) -> Reply {
        let Some(worker) = self.by_wid.get_mut(&beat.wid) else {
            return Reply::error(format_args!("unknown worker {}", Excerpt(&beat.wid)));
        };
        worker.last_beat = now.monotonic;
        let declared =
            beat.current_state.as_deref().map(WorkerState::from_word).unwrap_or_default();
        worker.state = worker.state.max(declared);
        worker.state.answer_body().map_or(Reply::OK, |body| Reply::Bulk(Bytes::from(body)))
    }

    /// Notes that a worker sends something that is too long to have arrived as a whole.
    pub(super) fn hear(&mut self, wid: &str, now: Now) {
        if let Some(worker) = self.by_wid.get_mut(wid) {
            worker.last_beat = now.monotonic;
        }
    }

    /// True where a check for silent workers is due and finds one. A check that finds none is done
    /// with this.
    pub(super) fn has_silent(&mut self, now: Now) -> bool {
        if now.monotonic < self.next_check {
            return false;
        }
        let found = self.by_wid.values().any(|worker| worker.is_silent(now.monotonic));
        if !found {
            self.next_check = now.monotonic + CHECK_EVERY;
        }
        found
    }

    /// Takes out the workers that had been silent for too long at `as_of`, with their connections.
    pub(super) fn reap(&mut self, as_of: Duration) -> Vec<(String, Vec<ConnectionId>)> {
        if as_of < self.next_check {
            return Vec::new();
        }
        self.next_check = as_of + CHECK_EVERY;
        let gone: Vec<_> = self.by_wid.extract_if(|_, worker| worker.is_silent(as_of)).collect();
        self.reaped += gone.len() as u64;
        gone.into_iter()
            .map(|(wid, worker)| (wid, worker.connections.into_iter().collect()))
            .collect()
    }

    pub(super) fn next_check(&self) -> Option<Duration> {
        (!self.by_wid.is_empty()).then_some(self.next_check)
    }
}
