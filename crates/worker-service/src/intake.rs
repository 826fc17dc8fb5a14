//! The intake of fetched jobs: each is read as it came, and told apart into jobs to run and jobs
//! whose end is known already.

use std::sync::Arc;
use std::time::Duration;

use faktory_wire::{Excerpt, Job};
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
                let until = buffered.fetched + reserved;
                let reservation =
                    Reservation { number: job.reservation, ..reservation(&job.jid, until) };
                if self.done_unacked.is_done(&job) {
                    tracing::info!(
                        jid = %Excerpt(&job.jid),
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
        let until = buffered.fetched + SHORTEST_RESERVATION;
        Some((reservation(jid, until), Fetched::Ended(failed)))
    }
}

/// The reservation runs on at the work server while this process is stopped, so it is counted from
/// before the writing of the FETCH, and not from the reading of the job.
fn reservation(jid: &str, until: Instant) -> Reservation {
    Reservation { jid: jid.into(), number: None, until }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intake() -> Intake {
        Intake {
            lifecycle: Arc::new(Lifecycle::new("host".into(), vec![])),
            done_unacked: Arc::default(),
        }
    }

    fn buffered(body: &'static str) -> Buffered {
        let fetched = Instant::now();
        Buffered { body: body.into(), came: fetched + Duration::from_secs(70), fetched }
    }

    #[test]
    fn a_job_is_reserved_from_when_its_fetch_was_written_for_the_time_that_it_says() {
        for (body, seconds, number) in [
            (
                r#"{"jid":"job-00000001","jobtype":"t","reserve_for":60,"reservation":7}"#,
                60,
                Some(7),
            ),
            (r#"{"jid":"job-00000001","jobtype":"t","args":[]}"#, 1800, None),
        ] {
            let buffered = buffered(body);
            let (reservation, fetched) = intake().read(&buffered).unwrap();
            assert_eq!((reservation.jid.as_str(), reservation.number), ("job-00000001", number));
            assert_eq!(reservation.until, buffered.fetched + Duration::from_secs(seconds));
            assert!(matches!(fetched, Fetched::ToRun(job) if job.jobtype == "t"));
        }
    }

    #[test]
    fn a_job_that_this_worker_has_done_is_acknowledged_and_not_run() {
        let intake = intake();
        intake.done_unacked.note(std::iter::once("job-00000001"));
        let body = r#"{"jid":"job-00000001","jobtype":"t","args":[]}"#;
        let (_, fetched) = intake.read(&buffered(body)).unwrap();
        assert!(matches!(fetched, Fetched::Ended(Ending::Done)));
    }

    #[test]
    fn an_unreadable_job_fails_where_its_id_is_readable_and_makes_the_worker_not_ready() {
        let intake = intake();
        intake.lifecycle.set_connected(true);
        let (reservation, fetched) =
            intake.read(&buffered(r#"{"jid":"job-00000001","jobtype":7}"#)).unwrap();
        assert_eq!(reservation.jid, "job-00000001");
        let Fetched::Ended(Ending::Failed(failure)) = fetched else { panic!("not failed") };
        assert_eq!(failure.kind, "unreadable_job");
        assert!(intake.lifecycle.why_not_ready().unwrap().contains("can't be read"));
        assert!(intake.read(&buffered(r#"{"jid":"","jobtype":"t","args":[]}"#)).is_none());
        assert!(intake.read(&buffered("nonsense")).is_none());
    }
}
