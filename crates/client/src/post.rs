//! Posting one job.

use std::time::Duration;

use crate::answer::Answer;
use crate::builder::Client;
use crate::new_job::NewJob;
use crate::outcome::PostError;
use crate::retry::Patience;

/// The result of one attempt to store a single job.
enum Attempt {
    Ended(Result<String, PostError>),
    /// The job is certainly not stored, and may be sent again.
    Again {
        detail: String,
        /// The pause that the API asks for.
        after: Option<Duration>,
    },
}

impl Client {
    /// Posts one job, and posts it again while it is certainly not stored and attempts are left.
    /// Returns the job's id once the work server has stored the job.
    ///
    /// Not cancel safe: dropped, the outcome is not known.
    ///
    /// # Errors
    /// [`PostError`] tells whether the job is stored, as far as that is known.
    pub async fn post(&self, job: &NewJob) -> Result<String, PostError> {
        let body = bytes::Bytes::from(job.alone());
        let mut patience = Patience::new(self.attempts, self.give_up_after);
        loop {
            match understand(self.send(&job.path(), body.clone()).await) {
                Attempt::Ended(result) => return result,
                Attempt::Again { detail, after } => match patience.next_pause(after) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(PostError::NotStored(detail)),
                },
            }
        }
    }
}

fn understand(answer: Answer) -> Attempt {
    match answer {
        Answer::NotSent(detail) => Attempt::Again { detail, after: None },
        Answer::Lost(detail) => Attempt::Ended(Err(PostError::Unknown { job_id: None, detail })),
        Answer::Document { status: 200..300, document, .. } => {
            Attempt::Ended(document.job_id.ok_or_else(|| PostError::Unknown {
                job_id: None,
                detail: "the answer has no job_id".into(),
            }))
        }
        Answer::Document { retry_after, document, .. } if document.says_try_again() => {
            Attempt::Again { detail: document.problem.detail, after: retry_after }
        }
        // The API never answers 429. A gateway does, and leaves the outcome unknown.
        Answer::Document { status: 400..=428 | 430..500, document, .. } => {
            Attempt::Ended(Err(PostError::Refused(document.problem)))
        }
        Answer::Document { status, document, .. } => Attempt::Ended(Err(PostError::Unknown {
            job_id: document.job_id,
            detail: unclear(status, &document.problem.detail),
        })),
    }
}

/// The detail of an answer that does not tell whether a job is stored.
pub(crate) fn unclear(status: u16, detail: &str) -> String {
    format!("the answer was {status}: {detail}")
}
