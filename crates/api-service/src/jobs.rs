//! The handlers that take jobs.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State as Extract};
use axum::response::Response;
use faktory_link::{EncodedJob, JobOutcome};
use faktory_wire::Timestamp;
use job_types::{Element, FieldError, Form, NewJob, Saving};
use tokio::time::Instant;

use crate::answer;
use crate::batch_body::{BatchBody, Jobs};
use crate::body;
use crate::problem::{Code, Problem};
use crate::state::{SharedState, State, Unheard};

/// `POST /jobs`: one job, by `operation` or by `jobtype` and `args`.
pub(crate) async fn one(
    Extract(state): Extract<SharedState>,
    request: Request,
) -> Result<Response, Problem> {
    single(&state, request, Form::Members).await
}

/// `POST /jobs/{operation}`: one typed job.
pub(crate) async fn operation(
    Extract(state): Extract<SharedState>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Ok(Path(name)) = path else {
        return Err(body::refuse(
            request,
            Problem::new(Code::NotFound, "the path is not valid UTF-8"),
        )
        .await);
    };
    let Some(definition) = job_types::find(&name) else {
        let detail = format!(
            "unknown operation; known are: {}; other jobs go to POST /jobs with jobtype and args",
            job_types::operations()
        );
        let problem = Problem::new(Code::Field(job_types::Code::UnknownOperation), detail);
        return Err(body::refuse(request, problem).await);
    };
    single(&state, request, Form::Operation(definition)).await
}

async fn single(state: &State, request: Request, form: Form) -> Result<Response, Problem> {
    let deadline = state.deadline(request.headers());
    let text = body::read_json(state, request, deadline).await?;
    let job = {
        let element: Element<'_> =
            serde_json::from_str(text.as_str()).map_err(|error| body::malformed(&error))?;
        job_types::validate_job(&element, form, Timestamp::now()).map_err(Problem::of_faults)?
    };
    drop(text);
    let jobs = vec![job];
    admit_queues(state, &jobs, "")?;
    let (ids, outcomes) = push(state, jobs, deadline).await;
    match (ids.first(), outcomes.first()) {
        (Some(id), Some(outcome)) => Ok(answer::single(id, outcome)),
        _ => Err(Problem::new(Code::InternalError, "the job has no outcome")),
    }
}

/// `POST /jobs/batch`: many jobs; all are valid, or none is sent.
pub(crate) async fn batch(
    Extract(state): Extract<SharedState>,
    request: Request,
) -> Result<Response, Problem> {
    let deadline = state.deadline(request.headers());
    let text = body::read_json(&state, request, deadline).await?;
    let jobs = {
        let mut json = serde_json::Deserializer::from_str(text.as_str());
        let body = BatchBody::read(&mut json, state.config.max_batch_jobs)
            .and_then(|body| json.end().map(|()| body));
        let body = body.map_err(|error| body::malformed(&error))?;
        let elements = elements(body, state.config.max_batch_jobs)?;
        job_types::validate_batch(&elements, "/jobs", Timestamp::now())
            .map_err(Problem::of_faults)?
    };
    drop(text);
    admit_queues(&state, &jobs, "/jobs")?;
    let (ids, outcomes) = push(&state, jobs, deadline).await;
    Ok(answer::batch(&ids, &outcomes))
}

/// The jobs of a batch, where its shape and its size are right.
fn elements(body: BatchBody<'_>, limit: usize) -> Result<Vec<Element<'_>>, Problem> {
    use job_types::Code as Fault;
    let shape = "a batch is an object with one member jobs, an array of jobs: {\"jobs\":[…]}";
    let fault = |pointer: String, code| FieldError { pointer, code, detail: shape.into() };
    let faults = |faults| Err(Problem::of_faults(faults));
    if body.not_an_object {
        return faults(vec![fault(String::new(), Fault::NotAnObject)]);
    }
    if !body.unknown.is_empty() {
        let pointer = |name: &String| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        return faults(
            body.unknown.iter().map(|name| fault(pointer(name), Fault::UnknownField)).collect(),
        );
    }
    let jobs = |code| faults(vec![fault("/jobs".into(), code)]);
    if body.repeated {
        return jobs(Fault::DuplicateField);
    }
    match body.jobs {
        None => jobs(Fault::MissingField),
        Some(Jobs::Null) => jobs(Fault::NullField),
        Some(Jobs::Other) => jobs(Fault::InvalidValue),
        Some(Jobs::Array(_, 0)) => {
            Err(Problem::new(Code::EmptyBatch, "jobs is empty; a batch has at least one job"))
        }
        Some(Jobs::Array(_, count)) if count > limit => {
            let detail = format!(
                "the batch has {count} jobs; {limit} are accepted at the most (API_MAX_BATCH_JOBS)"
            );
            Err(Problem::new(Code::TooManyJobs, detail).with("limit", limit))
        }
        Some(Jobs::Array(elements, _)) => Ok(elements),
    }
}

pub(crate) fn admit_queues(state: &State, jobs: &[NewJob], prefix: &str) -> Result<(), Problem> {
    state.queues.admit(jobs).map_err(|indices| {
        let limit = state.queues.max();
        let detail = format!(
            "the queue would be one more than the {limit} distinct ones that this service accepts \
             (API_MAX_QUEUES)"
        );
        let fault = |index: usize| FieldError {
            pointer: if prefix.is_empty() {
                "/queue".into()
            } else {
                format!("{prefix}/{index}/queue")
            },
            code: job_types::Code::TooManyQueues,
            detail: detail.clone(),
        };
        Problem::of_faults(indices.into_iter().map(fault).collect()).with("limit", limit)
    })
}

/// Jobs as they go over the wire, their args compressed where that is asked for.
pub(crate) fn encode(state: &State, jobs: Vec<NewJob>) -> Vec<EncodedJob> {
    let mut saved = Saving::default();
    let encode = |mut job: NewJob| {
        if let Some(saving) = job.compress_args(state.config.compress_from) {
            saved.before += saving.before;
            saved.after += saving.after;
        }
        EncodedJob::from(job.into_wire())
    };
    let encoded = jobs.into_iter().map(encode).collect();
    state.metrics.compressed(saved);
    encoded
}

/// Sends valid jobs, and returns their ids and what became of each.
async fn push(
    state: &State,
    jobs: Vec<NewJob>,
    deadline: Instant,
) -> (Vec<String>, Vec<JobOutcome>) {
    let ids: Vec<String> = jobs.iter().map(|job| job.id.as_str().to_owned()).collect();
    let encoded = encode(state, jobs);
    // Where the client goes away meanwhile, this is never woken up again.
    let unheard = Unheard::new(state, ids.len());
    let outcomes = state.pusher.push(encoded, deadline).await;
    unheard.are_heard();
    state.note(&outcomes);
    (ids, outcomes)
}
