//! Jobs that this worker has done and whose ACK the work server has not confirmed, after a
//! connection was lost. Offered again, such a job is acknowledged and not run again.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use faktory_wire::Job;

/// Jobs that are remembered after their reservations are over.
const REMEMBERED: usize = 10_000;
/// The kind of failure that a work server notes where a reservation ran out.
const EXPIRED: &str = "ReservationExpired";

/// The ids of the jobs that are done and not known to be acknowledged.
#[derive(Debug, Default)]
pub(crate) struct DoneUnacked {
    /// False while no ACK has been lost: then no job costs more than this look.
    is_any: AtomicBool,
    jobs: Mutex<Jobs>,
}

#[derive(Debug, Default)]
struct Jobs {
    /// Jobs whose ACK will be sent again.
    pending: HashSet<String>,
    /// Jobs whose reservation is over; the oldest first.
    over: VecDeque<String>,
}

impl DoneUnacked {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, jobs: &Jobs) {
        self.is_any.store(!jobs.pending.is_empty() || !jobs.over.is_empty(), Ordering::Release);
    }

    /// Notes jobs whose ACK will be sent again.
    pub(crate) fn note<'a>(&self, jids: impl Iterator<Item = &'a str>) {
        let mut jobs = self.jobs();
        jobs.pending.extend(jids.map(str::to_owned));
        self.update(&jobs);
    }

    /// Notes that the work server has answered the report of a job.
    pub(crate) fn confirmed(&self, jid: &str) {
        if self.is_any.load(Ordering::Acquire) {
            let mut jobs = self.jobs();
            jobs.pending.remove(jid);
            self.update(&jobs);
        }
    }

    /// Notes that the reservation of a job is over, so that its ACK is not sent again.
    pub(crate) fn is_over(&self, jid: &str) {
        let mut jobs = self.jobs();
        jobs.pending.remove(jid);
        jobs.over.push_back(jid.to_owned());
        if jobs.over.len() > REMEMBERED {
            jobs.over.pop_front();
        }
        self.update(&jobs);
    }

    /// True where this worker has done the job already: the job is offered again because its ACK
    /// was lost. A job whose reservation is over must come with the work server's note of that,
    /// since an id may be used again.
    pub(crate) fn is_done(&self, job: &Job) -> bool {
        if !self.is_any.load(Ordering::Acquire) {
            return false;
        }
        let mut jobs = self.jobs();
        if jobs.pending.contains(&job.jid) {
            return true;
        }
        let expired = job.failure.as_ref().is_some_and(|failure| failure.errtype == EXPIRED);
        let index = jobs.over.iter().position(|jid| *jid == job.jid).filter(|_| expired);
        let found = index.and_then(|index| jobs.over.remove(index)).is_some();
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
        let done = DoneUnacked::default();
        let job = |jid: &str| Job { jid: jid.into(), ..Job::default() };
        let expired = |jid: &str| Job {
            failure: Some(Failure { errtype: EXPIRED.into(), ..Failure::default() }),
            ..job(jid)
        };
        assert!(!done.is_done(&job("a")));
        done.note(["a", "b"].into_iter());
        assert!(done.is_done(&job("a")) && done.is_done(&job("b")) && !done.is_done(&expired("c")));
        done.confirmed("a");
        assert!(!done.is_done(&job("a")));
        done.is_over("b");
        assert!(!done.is_done(&job("b")), "the same id, pushed anew");
        assert!(done.is_done(&expired("b")));
        assert!(!done.is_done(&expired("b")), "once");
        assert!(!done.is_any.load(Ordering::Relaxed));
    }
}
