//! The FETCHes that found no job and wait.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::ConnectionId;

/// The time that a FETCH waits. Clients of Faktory rely on a wait under 5 s.
const FETCH_WAIT: Duration = Duration::from_secs(2);

/// How many jobs a FETCH asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// FETCH: one job.
    OneJob,
    /// WF FETCH: up to so many jobs, each on a line of the answer.
    UpTo(usize),
}

/// A FETCH that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) connection: ConnectionId,
    /// The queues in the order of the FETCH; empty for a worker that gets no job.
    pub(super) queues: Vec<String>,
    pub(super) asked: Asked,
    deadline: Duration,
}

/// All waiting FETCHes. The FETCH that has waited longest is served first; its ticket is the
/// smallest.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    waiters: BTreeMap<u64, Waiter>,
    by_queue: HashMap<String, BTreeSet<u64>>,
    last_ticket: u64,
}

impl Waiting {
    pub(super) fn add(
        &mut self,
        connection: ConnectionId,
        (queues, asked): (Vec<String>, Asked),
        now: Duration,
    ) -> u64 {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        for queue in &queues {
            self.by_queue.entry(queue.clone()).or_default().insert(ticket);
        }
        let deadline = now + FETCH_WAIT;
        self.waiters.insert(ticket, Waiter { connection, queues, asked, deadline });
        ticket
    }

    pub(super) fn remove(&mut self, ticket: u64) -> Option<Waiter> {
        let waiter = self.waiters.remove(&ticket)?;
        for queue in &waiter.queues {
            self.forget(queue, ticket);
        }
        Some(waiter)
    }

    /// Lends the queues of a waiting FETCH, which [`Self::put_queues`] gives back.
    pub(super) fn queues(&mut self, ticket: u64) -> Vec<String> {
        self.waiters
            .get_mut(&ticket)
            .map(|waiter| std::mem::take(&mut waiter.queues))
            .unwrap_or_default()
    }

    /// Gives back the queues that a waiting FETCH lent.
    pub(super) fn put_queues(&mut self, ticket: u64, queues: Vec<String>) {
        if let Some(waiter) = self.waiters.get_mut(&ticket) {
            waiter.queues = queues;
        }
    }

    /// Takes the queues from a waiting FETCH. The FETCH gets no job, but waits until its time is
    /// over.
    pub(super) fn drop_queues(&mut self, ticket: u64) {
        let queues = self.waiters.get_mut(&ticket).map(|waiter| std::mem::take(&mut waiter.queues));
        for queue in queues.unwrap_or_default() {
            self.forget(&queue, ticket);
        }
    }

    fn forget(&mut self, queue: &str, ticket: u64) {
        if let Some(tickets) = self.by_queue.get_mut(queue) {
            tickets.remove(&ticket);
            if tickets.is_empty() {
                self.by_queue.remove(queue);
            }
        }
    }

    /// The FETCH that has waited longest for this queue.
    pub(super) fn first(&self, queue: &str) -> Option<(u64, ConnectionId)> {
        let ticket = *self.by_queue.get(queue)?.first()?;
        self.waiters.get(&ticket).map(|waiter| (ticket, waiter.connection))
    }

    /// What the FETCH that has waited longest for this queue, which has so many jobs, is to get: no
    /// more than its share of them among the FETCHes that wait.
    pub(super) fn share(&self, queue: &str, ticket: u64, jobs: u64) -> Asked {
        match self.waiters.get(&ticket).map(|waiter| waiter.asked) {
            Some(Asked::UpTo(most)) => {
                let waiters = self.by_queue.get(queue).map_or(1, BTreeSet::len).max(1);
                let share = usize::try_from(jobs).unwrap_or(usize::MAX) / waiters;
                Asked::UpTo(most.min(share.max(1)))
            }
            Some(Asked::OneJob) | None => Asked::OneJob,
        }
    }

    /// Takes out the FETCH that has waited longest, where its time is over. Each FETCH waits
    /// equally long, so the order of tickets is the order of deadlines.
    pub(super) fn next_expired(&mut self, now: Duration) -> Option<Waiter> {
        let (ticket, waiter) = self.waiters.first_key_value()?;
        if waiter.deadline > now { None } else { self.remove(*ticket) }
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.waiters.first_key_value().map(|(_, waiter)| waiter.deadline)
    }
}
