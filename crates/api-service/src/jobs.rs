//! The handlers that take jobs.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State as Extract};
use axum::response::Response;
use faktory_link::{EncodedJob, JobOutcome};
use faktory_wire::Timestamp;
use job_types::{Element, Form, NewJob};
use tokio::time::Instant;

use crate::answer;
use crate::batch_body::{BatchBody, Jobs};
use crate::body;
use crate::problem::{Code, Problem};
use crate::state::{SharedState, State};

/// `POST /jobs`: one job, by `operation` or by `jobtype` and `args`.
pub(crate) async fn one(Extract(state): Extract<SharedState>, request: Request) -> Result<Response, Problem> {
    single(&state, request, Form::Members).await
}

/// `POST /jobs/{operation}`: one typed job.
pub(crate) async fn operation(
    Extract(state): Extract<SharedState>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Ok(Path(name)) = path else { return Err(Problem::new(Code::NotFound, "the path is not valid UTF-8")) };
    let Some(definition) = job_types::find(&name) else {
        let detail =
            format!("unknown operation; known are: {}; other jobs go to POST /jobs with jobtype and args", job_types::operations());
        return Err(Problem::new(Code::Field(job_types::Code::UnknownOperation), detail));
    };
    single(&state, request, Form::Operation(definition)).await
}

async fn single(state: &State, request: Request, form: Form) -> Result<Response, Problem> {
    state.check_serving()?;
    let deadline = state.deadline();
    let text = body::read_json(state, request, deadline).await?;
    let job = {
        let element: Element<'_> = serde_json::from_str(&text).map_err(|error| body::malformed(&error))?;
        job_types::validate_job(&element, form, Timestamp::now()).map_err(Problem::of_faults)?
    };
    drop(text);
    let jobs = vec![job];
    admit_queues(state, &jobs, "")?;
    let (ids, outcomes) = push(state, &jobs, deadline).await;
    match (ids.first(), outcomes.first()) {
        (Some(id), Some(outcome)) => Ok(answer::single(id, outcome)),
        _ => Err(Problem::new(Code::InternalError, "the job has no outcome")),
    }
}

/// `POST /jobs/batch`: many jobs; all are valid, or none is sent.
pub(crate) async fn batch(Extract(state): Extract<SharedState>, request: Request) -> Result<Response, Problem> {
    state.check_serving()?;
    let deadline = state.deadline();
    let text = body::read_json(&state, request, deadline).await?;
    let jobs = {
        let body: BatchBody<'_> = serde_json::from_str(&text).map_err(|error| body::malformed(&error))?;
        let elements = elements(body, state.config.max_batch_jobs)?;
        job_types::validate_batch(&elements, "/jobs", Timestamp::now()).map_err(Problem::of_faults)?
    };
    drop(text);
    admit_queues(&state, &jobs, "/jobs")?;
    let (ids, outcomes) = push(&state, &jobs, deadline).await;
    Ok(answer::batch(&ids, &outcomes))
}

/// The jobs of a batch, where its shape and its size are right.
fn elements(body: BatchBody<'_>, limit: usize) -> Result<Vec<Element<'_>>, Problem> {
    let field = |pointer: &str, code, detail: &str| {
        Problem::of_faults(vec![job_types::FieldError { pointer: pointer.into(), code, detail: detail.into() }])
    };
    let shape = "a batch is an object with one member jobs, an array of jobs: {\"jobs\":[…]}";
    if body.not_an_object {
        return Err(field("", job_types::Code::NotAnObject, shape));
    }
    if let Some(name) = body.unknown.first() {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        return Err(field(&pointer, job_types::Code::UnknownField, shape));
    }
    if body.repeated {
        return Err(field("/jobs", job_types::Code::DuplicateField, shape));
    }
    match body.jobs {
        None => Err(field("/jobs", job_types::Code::MissingField, shape)),
        Some(Jobs::Other) => Err(field("/jobs", job_types::Code::InvalidValue, shape)),
        Some(Jobs::Array(_, 0)) => Err(Problem::new(Code::EmptyBatch, "jobs is empty; a batch has at least one job")),
        Some(Jobs::Array(_, count)) if count > limit => {
            let detail = format!("the batch has {count} jobs; {limit} are accepted at the most (API_MAX_BATCH_JOBS)");
            Err(Problem::new(Code::TooManyJobs, detail).with("limit", limit))
        }
        Some(Jobs::Array(elements, _)) => Ok(elements),
    }
}

fn admit_queues(state: &State, jobs: &[NewJob], prefix: &str) -> Result<(), Problem> {
    state.queues.admit(jobs).map_err(|index| {
        let pointer = if prefix.is_empty() { "/queue".to_owned() } else { format!("{prefix}/{index}/queue") };
        let limit = state.queues.max();
        let detail = format!("{pointer} would be one more than the {limit} distinct queues that this service accepts (API_MAX_QUEUES)");
        Problem::new(Code::TooManyQueues, detail).with("pointer", pointer).with("limit", limit)
    })
}

/// Sends valid jobs, and returns their ids and what became of each.
async fn push(state: &State, jobs: &[NewJob], deadline: Instant) -> (Vec<String>, Vec<JobOutcome>) {
    let ids: Vec<String> = jobs.iter().map(|job| job.id.as_str().to_owned()).collect();
    let encoded = jobs.iter().map(|job| EncodedJob { jid: job.id.as_str().into(), json: job.encode() }).collect();
    let outcomes = state.pusher.push(encoded, deadline).await;
    state.health.note_push(&outcomes);
    (ids, outcomes)
}
