//! From the outcome of each job to the answer. A batch is answered 202 where all its jobs are
//! stored and 207 where some are; otherwise the gravest outcome decides: unknown, then not sent or
//! refused for now, then refused.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use faktory_link::{JobOutcome, NotSent};
use faktory_wire::{JOB_ID_REUSED, KEY_REUSED};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::problem::{Code, Problem};

/// The answer to a request with one job.
pub(crate) fn single(job_id: &str, outcome: &JobOutcome) -> Response {
    match problem_of(outcome) {
        None => (StatusCode::ACCEPTED, Json(json!({ "job_id": job_id }))).into_response(),
        Some((code, detail)) => {
            again_in(Problem::new(code, detail), outcome).with("job_id", job_id).into_response()
        }
    }
}

/// The member `error` of a stream's result for a job that is not stored; `None` for a stored job.
pub(crate) fn member(job_id: &str, outcome: &JobOutcome) -> Option<Value> {
    let (code, detail) = problem_of(outcome)?;
    let word = match outcome {
        JobOutcome::Stored => return None,
        JobOutcome::Rejected(_) | JobOutcome::ServerRefuses(_) => "refused",
        JobOutcome::Unknown(_) => "unknown",
        JobOutcome::NotSent(..) => "not_sent",
    };
    Some(Problem::new(code, detail).with("job_id", job_id).as_member(word))
}

/// The body of the answer to a batch whose jobs are all stored.
#[derive(Serialize)]
struct Stored<'a> {
    job_ids: &'a [String],
    count: usize,
}

/// The answer to a batch.
pub(crate) fn batch(job_ids: &[String], outcomes: &[JobOutcome]) -> Response {
    let (mut rejected, mut unknown, mut not_sent) = (Vec::new(), Vec::new(), Vec::new());
    // The first problem of each kind speaks for its kind.
    let (mut first_rejected, mut first_unknown, mut first_not_stored) = (None, None, None);
    for (index, (job_id, outcome)) in job_ids.iter().zip(outcomes).enumerate() {
        let problem = problem_of(outcome);
        match outcome {
            JobOutcome::Stored => {}
            JobOutcome::Rejected(detail) => {
                let (code, detail) = problem_of_rejected(detail);
                rejected.push(rejected_member(index, job_id, code, &detail));
                first_rejected = first_rejected.or(problem);
            }
            JobOutcome::ServerRefuses(detail) => {
                rejected.push(rejected_member(index, job_id, Code::WorkServerRefusing, detail));
                first_not_stored = first_not_stored.or(problem);
            }
            JobOutcome::Unknown(_) => {
                unknown.push(index);
                first_unknown = first_unknown.or(problem);
            }
            JobOutcome::NotSent(..) => {
                not_sent.push(index);
                first_not_stored = first_not_stored.or(problem);
            }
        }
    }
    let count = outcomes.iter().filter(|outcome| matches!(outcome, JobOutcome::Stored)).count();
    if count == outcomes.len() {
        return (StatusCode::ACCEPTED, Json(Stored { job_ids, count })).into_response();
    }
    let mut members = Map::new();
    members.insert("job_ids".into(), json!(job_ids));
    members.insert("count".into(), json!(count));
    for (name, list) in [
        ("rejected", Value::from(rejected)),
        ("unknown", Value::from(unknown)),
        ("not_sent", Value::from(not_sent)),
    ] {
        if list.as_array().is_some_and(|list| !list.is_empty()) {
            members.insert(name.into(), list);
        }
    }
    if count > 0 {
        return (StatusCode::MULTI_STATUS, Json(members)).into_response();
    }
    let (code, detail) = first_unknown
        .or(first_not_stored)
        .or(first_rejected)
        .unwrap_or_else(|| (Code::InternalError, "the batch has no outcome".into()));
    let problem = Problem::new(code, detail).with_members(members);
    outcomes.iter().fold(problem, again_in).into_response()
}

fn rejected_member(index: usize, job_id: &str, code: Code, detail: &str) -> Value {
    json!({ "index": index, "job_id": job_id, "code": code.as_str(), "detail": detail })
}

/// Adds the pause before another attempt, where the circuit breaker tells one.
const fn again_in(problem: Problem, outcome: &JobOutcome) -> Problem {
    match outcome {
        JobOutcome::NotSent(NotSent::CircuitOpen { again_in }, _) => problem.again_in(*again_in),
        _ => problem,
    }
}

/// The code and the detail for an outcome; `None` for a stored job.
fn problem_of(outcome: &JobOutcome) -> Option<(Code, String)> {
    let (code, detail) = match outcome {
        JobOutcome::Stored => return None,
        JobOutcome::Rejected(detail) => problem_of_rejected(detail),
        JobOutcome::ServerRefuses(detail) => {
            (Code::WorkServerRefusing, format!("nothing was enqueued: {detail}"))
        }
        JobOutcome::Unknown(detail) => {
            (Code::OutcomeUnknown, format!("the job may be stored or not: {detail}"))
        }
        JobOutcome::NotSent(reason, detail) => {
            let code = match reason {
                // For the client, no free connection in time is the same as no connection.
                NotSent::Unreachable | NotSent::TimedOut => Code::WorkServerUnreachable,
                NotSent::Refused => Code::WorkServerRefusing,
                NotSent::CircuitOpen { .. } => Code::CircuitOpen,
                NotSent::Overloaded => Code::Overloaded,
                NotSent::ShuttingDown => Code::ShuttingDown,
                NotSent::NotRemembered => Code::IdempotencyNotSupported,
            };
            (code, format!("nothing was enqueued: {detail}"))
        }
    };
    Some((code, detail))
}

/// The code and the detail for a job that the work server does not take, by the server's text.
fn problem_of_rejected(text: &str) -> (Code, String) {
    let (code, detail) = if text.starts_with(JOB_ID_REUSED) {
        let detail = "another job (job type, args or queue) was stored under this job_id; a new \
                      job needs a new job_id";
        (Code::JobIdReused, detail)
    } else if text.starts_with(KEY_REUSED) {
        let detail = "this Idempotency-Key came with another body before; a new request needs a \
                      new Idempotency-Key";
        (Code::IdempotencyKeyReused, detail)
    } else {
        (Code::RefusedByWorkServer, text)
    };
    (code, detail.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(outcomes: &[JobOutcome]) -> u16 {
        let ids: Vec<String> = (0..outcomes.len()).map(|index| format!("job-{index}")).collect();
        batch(&ids, outcomes).status().as_u16()
    }

    #[test]
    fn the_status_of_a_batch_follows_its_outcomes() {
        let stored = JobOutcome::Stored;
        let rejected = JobOutcome::Rejected("r".into());
        let refuses = JobOutcome::ServerRefuses("MISCONF".into());
        let unknown = JobOutcome::Unknown("u".into());
        let not_sent = JobOutcome::NotSent(NotSent::Unreachable, "n".into());
        assert_eq!(status(&[stored.clone(), stored.clone()]), 202);
        for other in [&rejected, &refuses, &unknown, &not_sent] {
            assert_eq!(status(&[stored.clone(), other.clone()]), 207);
        }
        assert_eq!(status(&[rejected.clone(), not_sent.clone(), unknown]), 504);
        assert_eq!(status(&[rejected.clone(), not_sent]), 503);
        assert_eq!(status(&[rejected.clone(), refuses]), 503);
        assert_eq!(status(&[rejected]), 422);
        let reused = |text: &str| JobOutcome::Rejected(text.into());
        assert_eq!(status(&[reused(JOB_ID_REUSED)]), 409);
        assert_eq!(status(&[reused(KEY_REUSED), reused(KEY_REUSED)]), 422);
        assert_eq!(status(&[stored, reused(JOB_ID_REUSED)]), 207);
    }
}
