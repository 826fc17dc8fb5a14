//! Chunks: the jobs of a caller, divided so that the chunks spread over connections, and the claim
//! that decides between sending a chunk and giving it up.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::connection::Flight;
use crate::outcome::{EncodedJob, JobOutcome};
use crate::permit::Permit;
use crate::terms::Terms;

/// Jobs of one chunk at the most.
const CHUNK_JOBS: usize = 250;

/// The states of a claim. The caller cancels a chunk by `WAITING` -> `CANCELLED`, the sender claims
/// it by `WAITING` -> `CLAIMED`; the first of the two wins.
const WAITING: u8 = 0;
const CLAIMED: u8 = 1;
const CANCELLED: u8 = 2;

/// The claim to a chunk, shared by the caller that waits for the answer and the task that sends.
/// Either the chunk is sent, or the caller is told that it was not; never both.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claim(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: AtomicU8,
    /// The command that carries the chunk, once that is written.
    flight: Mutex<Option<Flight>>,
    /// Notified when that changes.
    flies: Notify,
}

impl Claim {
    /// Claims the chunk for the sender: false where the caller has cancelled the chunk.
    pub(crate) fn try_claim(&self) -> bool {
        self.0.state.compare_exchange(WAITING, CLAIMED, Ordering::AcqRel, Ordering::Acquire)
            != Err(CANCELLED)
    }

    /// Cancels the chunk for the caller: true where the chunk was not sent and will not be.
    pub(crate) fn try_cancel(&self) -> bool {
        self.0.state.compare_exchange(WAITING, CANCELLED, Ordering::AcqRel, Ordering::Acquire)
            != Err(CLAIMED)
    }

    /// Notes the command that carries the chunk.
    pub(crate) fn flies_with(&self, flight: Option<Flight>) {
        *self.flight() = flight;
        self.0.flies.notify_one();
    }

    /// The command that carries the chunk, once one is written. For the one caller of the chunk.
    /// Cancel safe.
    pub(crate) async fn flies(&self) -> Flight {
        loop {
            let flight = self.flight().clone();
            match flight {
                Some(flight) => return flight,
                // Where it has changed meanwhile, the notification is kept.
                None => self.0.flies.notified().await,
            }
        }
    }

    fn flight(&self) -> MutexGuard<'_, Option<Flight>> {
        self.0.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A chunk: jobs of one caller that are never divided further.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) jobs: Vec<EncodedJob>,
    pub(crate) bytes: usize,
    pub(crate) claim: Claim,
    pub(crate) answer: oneshot::Sender<Vec<JobOutcome>>,
    /// When the chunk began to wait.
    pub(crate) since: Instant,
    /// Until when the caller waits; a chunk that has not left by then does not leave.
    pub(crate) deadline: Instant,
    /// The permit of the whole push, shared by its chunks.
    pub(crate) _permit: Arc<Permit>,
    /// What is known of the commands that have carried the chunk, where one of them may have been
    /// carried out.
    pub(crate) earlier: Option<Earlier>,
}

/// Earlier commands with a chunk: its jobs may be stored.
#[derive(Debug)]
pub(crate) struct Earlier {
    /// What became of the latest of them.
    why: String,
    /// Until when the chunk may be sent again; `None` where it may not, because the work server
    /// does not remember ids.
    until: Option<Instant>,
}

impl Chunk {
    /// Whether the work server's memory of `once` seconds suffices for every job's terms.
    pub(crate) fn is_kept_for(&self, once: u32) -> bool {
        self.terms().all(|terms| terms.are_kept_for(once))
    }

    /// Notes that a command, which left then for a work server that remembers ids for `once`
    /// seconds, may have been carried out.
    pub(crate) fn note_may_be_stored(&mut self, why: &str, left: Instant, once: u32) {
        let of_this = self.may_be_sent_until(left, once);
        let until = match &self.earlier {
            Some(earlier) => earlier.until.zip(of_this).map(|(one, other)| one.min(other)),
            None => of_this,
        };
        self.earlier = Some(Earlier { why: why.to_owned(), until });
    }

    /// Until when a chunk that left then may be sent again: for half of the time for which the ids
    /// of all its jobs are remembered, so that a command that is long on its way comes in time too.
    fn may_be_sent_until(&self, left: Instant, once: u32) -> Option<Instant> {
        let seconds = self.terms().filter_map(|terms| terms.seconds).fold(once, u32::min);
        let half = Duration::from_secs(seconds.into()) / 2;
        (once > 0).then(|| left + half)
    }

    /// Whether a chunk that left then may be sent again now.
    pub(crate) fn may_be_sent_again(&self, left: Instant, once: u32, now: Instant) -> bool {
        let ends = self.may_be_sent_until(left, once).zip(self.until());
        ends.is_some_and(|(one, other)| now < one.min(other))
    }

    fn terms(&self) -> impl Iterator<Item = &Terms> {
        self.jobs.iter().filter_map(|job| job.terms.as_deref())
    }

    /// Whether an earlier command with the chunk may have been carried out.
    pub(crate) const fn may_be_stored(&self) -> bool {
        self.earlier.is_some()
    }

    /// Until when the chunk may be sent, or sent again; `None` where it may not.
    pub(crate) fn until(&self) -> Option<Instant> {
        match &self.earlier {
            None => Some(self.deadline),
            Some(earlier) => Some(earlier.until?.min(self.deadline)),
        }
    }

    /// The outcome of a job whose latest command had this one: the job may be stored by an earlier
    /// command where the latest was not carried out.
    pub(crate) fn outcome(&self, latest: JobOutcome) -> JobOutcome {
        match (&self.earlier, latest) {
            (Some(earlier), JobOutcome::NotSent(..) | JobOutcome::ServerRefuses(_)) => {
                JobOutcome::Unknown(earlier.why.clone())
            }
            (_, latest) => latest,
        }
    }

    /// Tells the caller that each job of the chunk had this outcome with its latest command.
    pub(crate) fn answer_all(self, outcome: &JobOutcome) {
        let outcomes = vec![self.outcome(outcome.clone()); self.jobs.len()];
        // An error means that the caller has gone.
        let _ = self.answer.send(outcomes);
    }
}

/// Divides jobs, in their order, into the jobs of chunks of up to `bytes_max` bytes. Each result is
/// the jobs of one chunk and their size in bytes.
pub(crate) fn divide(jobs: Vec<EncodedJob>, bytes_max: usize) -> Vec<(Vec<EncodedJob>, usize)> {
    let mut chunks: Vec<(Vec<EncodedJob>, usize)> = Vec::new();
    let sizes: Vec<usize> = EncodedJob::sizes(&jobs).collect();
    for (job, size) in jobs.into_iter().zip(sizes) {
        match chunks.last_mut() {
            Some((chunk, bytes)) if chunk.len() < CHUNK_JOBS && *bytes + size <= bytes_max => {
                chunk.push(job);
                *bytes += size;
            }
            _ => chunks.push((vec![job], size)),
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(size: usize) -> EncodedJob {
        EncodedJob::new("j", vec![b'x'; size])
    }

    #[test]
    fn jobs_are_divided_by_count_and_by_bytes_and_keep_their_order() {
        let sizes =
            |jobs| divide(jobs, 8 * 1400).iter().map(|(chunk, _)| chunk.len()).collect::<Vec<_>>();
        assert_eq!(sizes(vec![job(10); 600]), [250, 250, 100]);
        assert_eq!(sizes(vec![job(5000); 5]), [2, 2, 1]);
        assert_eq!(sizes(vec![job(10), job(1_000_000), job(10)]), [1, 1, 1]);
        assert_eq!(sizes(vec![]), [] as [usize; 0]);
    }

    #[test]
    fn the_group_that_a_job_begins_counts_with_it() {
        let terms = |seconds| Some(Arc::new(Terms { seconds: Some(seconds), ..Terms::default() }));
        let jobs = |differ: bool| {
            let of = |place: u32| EncodedJob {
                terms: terms(if differ { place % 2 } else { 0 }),
                ..job(40)
            };
            (0..200).map(of).collect::<Vec<_>>()
        };
        let bytes = |jobs| divide(jobs, usize::MAX).iter().map(|(_, bytes)| bytes).sum::<usize>();
        let group = size_of::<faktory_wire::PushGroup>();
        assert_eq!(bytes(jobs(false)), 200 * 41 + group);
        assert_eq!(bytes(jobs(true)), 200 * (41 + group));
        assert_eq!(EncodedJob::bytes_of(&jobs(true)), 200 * (41 + group));
        assert!(divide(jobs(true), 8 * 1400).len() > divide(jobs(false), 8 * 1400).len());
        // What the command has of a group is no more than what counts for it.
        let with_terms = jobs(true);
        let groups = crate::terms::groups(with_terms.iter().map(|job| job.terms.as_deref()));
        let mut line = Vec::new();
        faktory_wire::encode_push_once(&groups, [], &mut line);
        assert!(line.len() <= 200 * group, "{}", line.len());
    }

    #[test]
    fn of_claim_and_cancel_only_the_first_succeeds() {
        let claimed = Claim::default();
        assert!(claimed.try_claim());
        assert!(!claimed.clone().try_cancel());
        let cancelled = Claim::default();
        assert!(cancelled.try_cancel());
        assert!(!cancelled.clone().try_claim());
    }
}
