//! The intake of fetched jobs: each is read as it came, and told apart into jobs to run and jobs
//! whose end is known already.

use std::sync::Arc;
use std::time::Duration;

use faktory_wire::Job;
use tokio::time::Instant;

use crate::buffer::Buffered;
use crate::lifecycle::Lifecycle;
use crate::outcome::Failure;
use crate::reporting::{DoneUnacked, Ending, Reservation};

/// The shortest time for which any job is reserved.
const SHORTEST_RESERVATION: Duration = Duration::from_secs(60);

/// The reader of fetched jobs.
pub(crate) struct Intake {
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) done_unacked: Arc<DoneUnacked>,
}

/// A fetched job, as far as it is known before it is run.
pub(crate) enum Fetched {
    ToRun(Box<Job>),
    /// The job is not to be run: what is to be told of it.
    Ended(Ending),
}

impl Intake {
    /// Reads a job as it came; `None` where it has no id, so that nothing can be told of it.
    pub(crate) fn read(&self, buffered: &Buffered) -> Option<(Reservation, Fetched)> {
        match Job::parse(&buffered.body) {
            Ok(job) if !job.jid.is_empty() => {
                let reserved = Duration::from_secs(job.effective_reserve_for().into());
                let reservation = reservation(&job.jid, buffered.came, reserved);
                if self.done_unacked.is_done(&job) {
                    tracing::info!(
                        jid = %job.jid,
                        "this worker has done this job already, and acknowledges it again"
                    );
                    return Some((reservation, Fetched::Ended(Ending::Done)));
                }
                Some((reservation, Fetched::ToRun(Box::new(job))))
            }
            Ok(_) => self.unreadable(buffered, "it has no id"),
            Err(error) => self.unreadable(buffered, &error.to_string()),
        }
    }

    /// Notes a job that can't be read. The job fails where at least its id can be read.
    fn unreadable(&self, buffered: &Buffered, why: &str) -> Option<(Reservation, Fetched)> {
        let why = format!("the work server sent a job that can't be read: {why}");
        self.lifecycle.note_fetch(Some(&why));
        let value = serde_json::from_slice::<serde_json::Value>(&buffered.body).ok()?;
        let jid = value.get("jid")?.as_str().filter(|jid| !jid.is_empty())?;
        let failed = Ending::Failed(Failure::new("unreadable_job", why));
        let reservation = reservation(jid, buffered.came, SHORTEST_RESERVATION);
        Some((reservation, Fetched::Ended(failed)))
    }
}

fn reservation(jid: &str, came: Instant, reserved: Duration) -> Reservation {
    Reservation { jid: jid.into(), until: came + reserved }
}
