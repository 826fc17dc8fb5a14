//! Jobs that this worker has done and whose ACK the work server has not confirmed, after a
//! connection was lost: offered again, they are acknowledged and not run again.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use faktory_wire::Job;

/// So many are remembered after their reservations are over.
const REMEMBERED: usize = 10_000;
/// The kind of failure that a work server notes where a reservation ran out.
const EXPIRED: &str = "ReservationExpired";

#[derive(Debug, Default)]
pub(crate) struct Unconfirmed {
    /// False on the way of every job while nothing has been lost.
    is_any: AtomicBool,
    jobs: Mutex<Jobs>,
}

#[derive(Debug, Default)]
struct Jobs {
    /// Their ACKs will be sent again.
    pending: HashSet<String>,
    /// Their reservations are over; the oldest first.
    over: VecDeque<String>,
}

impl Unconfirmed {
    fn jobs(&self) -> std::sync::MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, jobs: &Jobs) {
        self.is_any.store(!jobs.pending.is_empty() || !jobs.over.is_empty(), Ordering::Release);
    }

    /// Their ACKs will be sent again.
    pub(crate) fn note<'a>(&self, jids: impl Iterator<Item = &'a str>) {
        let mut jobs = self.jobs();
        jobs.pending.extend(jids.map(str::to_owned));
        self.update(&jobs);
    }

    /// The work server has answered.
    pub(crate) fn confirmed(&self, jid: &str) {
        if self.is_any.load(Ordering::Acquire) {
            let mut jobs = self.jobs();
            jobs.pending.remove(jid);
            self.update(&jobs);
        }
    }

    /// The reservation is over, so the ACK is not sent again.
    pub(crate) fn is_over(&self, jid: &str) {
        let mut jobs = self.jobs();
        jobs.pending.remove(jid);
        jobs.over.push_back(jid.to_owned());
        if jobs.over.len() > REMEMBERED {
            jobs.over.pop_front();
        }
        self.update(&jobs);
    }

    /// True where this worker has done this job already: it is offered again because its ACK was
    /// lost. One whose reservation is over must say so itself, since ids may be used again.
    pub(crate) fn is_done(&self, job: &Job) -> bool {
        if !self.is_any.load(Ordering::Acquire) {
            return false;
        }
        let mut jobs = self.jobs();
        if jobs.pending.contains(&job.jid) {
            return true;
        }
        let expired = job.failure.as_ref().is_some_and(|failure| failure.errtype == EXPIRED);
        let place = jobs.over.iter().position(|jid| *jid == job.jid).filter(|_| expired);
        let found = place.and_then(|place| jobs.over.remove(place)).is_some();
        self.update(&jobs);
        found
    }
}

#[cfg(test)]
mod tests {
    use faktory_wire::Failure;

    use super::*;

    #[test]
    fn a_job_is_known_until_it_is_confirmed_and_after_its_reservation_only_as_an_expired_one() {
        let unconfirmed = Unconfirmed::default();
        let job = |jid: &str| Job { jid: jid.into(), ..Job::default() };
        let expired = |jid: &str| Job {
            failure: Some(Failure { errtype: EXPIRED.into(), ..Failure::default() }),
            ..job(jid)
        };
        assert!(!unconfirmed.is_done(&job("a")));
        unconfirmed.note(["a", "b"].into_iter());
        assert!(
            unconfirmed.is_done(&job("a"))
                && unconfirmed.is_done(&job("b"))
                && !unconfirmed.is_done(&expired("c"))
        );
        unconfirmed.confirmed("a");
        assert!(!unconfirmed.is_done(&job("a")));
        unconfirmed.is_over("b");
        assert!(!unconfirmed.is_done(&job("b")), "the same id, pushed anew");
        assert!(unconfirmed.is_done(&expired("b")));
        assert!(!unconfirmed.is_done(&expired("b")), "once");
        assert!(!unconfirmed.is_any.load(Ordering::Relaxed));
    }
}
