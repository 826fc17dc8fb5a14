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
    /// The job is certainly not stored by this attempt, and may be sent again.
    Again {
        detail: String,
        /// The pause that the API asks for.
        after: Option<Duration>,
    },
    /// The job may be stored. It may be sent again under the same key.
    Unclear {
        job_id: Option<String>,
        detail: String,
        after: Option<Duration>,
    },
}

impl Client {
    /// Posts one job, and posts it again while it is certainly not stored, or goes under a key, and
    /// attempts are left. Returns the job's id once the work server has stored the job.
    ///
    /// Not cancel safe: dropped, the outcome is not known.
    ///
    /// # Errors
    /// [`PostError`] tells whether the job is stored, as far as that is known.
    pub async fn post(&self, job: &NewJob) -> Result<String, PostError> {
        let body = bytes::Bytes::from(job.alone());
        let mut patience = Patience::new(self.attempts, self.give_up_after);
        let mut key = if job.is_forgotten_early() { None } else { self.keys.next() };
        let mut doubt = None;
        loop {
            let answer = self.send(&job.path(), body.clone(), key.as_ref()).await;
            if key.is_some() && doubt.is_none() && answer.refuses_key() {
                self.keys.note_refused();
                key = None;
                continue;
            }
            let (failure, after) = match understand(answer) {
                Attempt::Ended(Err(PostError::Refused(problem))) if !problem.is_of_the_body() => {
                    return Err(doubt.unwrap_or(PostError::Refused(problem)));
                }
                Attempt::Ended(result) => return result,
                Attempt::Again { detail, after } => (PostError::NotStored(detail), after),
                Attempt::Unclear { job_id, detail, after } => {
                    let unknown = PostError::Unknown { job_id, detail };
                    if key.is_none() {
                        return Err(unknown);
                    }
                    (doubt.insert(unknown).clone(), after)
                }
            };
            match patience.next_pause(after) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(doubt.unwrap_or(failure)),
            }
        }
    }
}

fn understand(answer: Answer) -> Attempt {
    match answer {
        Answer::NotSent(detail) => Attempt::Again { detail, after: None },
        Answer::Lost(detail) => Attempt::Unclear { job_id: None, detail, after: None },
        Answer::Document { status: 200..300, document, retry_after: after } => {
            match document.job_id {
                Some(job_id) => Attempt::Ended(Ok(job_id)),
                None => {
                    let detail = "the answer has no job_id".into();
                    Attempt::Unclear { job_id: None, detail, after }
                }
            }
        }
        Answer::Document { retry_after, document, .. } if document.says_try_again() => {
            Attempt::Again { detail: document.problem.detail, after: retry_after }
        }
        // The API never answers 429. A gateway does, and leaves the outcome unknown.
        Answer::Document { status: 400..=428 | 430..500, document, .. } => {
            Attempt::Ended(Err(PostError::Refused(document.problem)))
        }
        Answer::Document { status, document, retry_after: after } => Attempt::Unclear {
            job_id: document.job_id,
            detail: unclear(status, &document.problem.detail),
            after,
        },
    }
}

/// The detail of an answer that does not tell whether a job is stored.
pub(crate) fn unclear(status: u16, detail: &str) -> String {
    format!("the answer was {status}: {detail}")
}
