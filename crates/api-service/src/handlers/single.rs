//! `POST /jobs` and `POST /jobs/{operation}`: one job a request.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State as Extract};
use axum::response::Response;
use faktory_wire::Timestamp;
use job_types::{Element, Form};

use super::push::{Ready, push};
use crate::body::{Holds, Text};
use crate::posting::Posting;
use crate::problem::{Code, Problem};
use crate::state::{SharedState, State};
use crate::{answer, body, compression, dedup};

/// `POST /jobs`: a job with the members `operation`, or `jobtype` and `args`.
pub(crate) async fn job(
    Extract(state): Extract<SharedState>,
    request: Request,
) -> Result<Response, Problem> {
    post(&state, request, Form::Members, "/jobs").await
}

/// `POST /jobs/{operation}`: a typed job, whose operation stands in the path.
pub(crate) async fn operation(
    Extract(state): Extract<SharedState>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Ok(Path(name)) = path else {
        return Err(Problem::new(Code::NotFound, "the path is not valid UTF-8"));
    };
    let Some(definition) = state.config.jobs.find(&name) else {
        let detail = format!(
            "unknown operation; the known operations are: {}; other jobs go to POST /jobs with \
             jobtype and args",
            state.config.jobs.operations()
        );
        return Err(Problem::new(Code::Field(job_types::Code::UnknownOperation), detail));
    };
    post(&state, request, Form::Operation(definition), &format!("/jobs/{name}")).await
}

async fn post(
    state: &SharedState,
    request: Request,
    form: Form,
    endpoint: &str,
) -> Result<Response, Problem> {
    let posting = Posting::of(&state.pusher, &request, endpoint)?;
    let deadline = state.deadline(request.headers());
    let body = state.read_json(Holds::Job, request, deadline).await?;
    let shared = SharedState::clone(state);
    let bytes = body.len();
    let work = move || ready(&shared, &posting, &body.into_text()?, form);
    let job = state.long_work.run(bytes, deadline, work).await??;
    let (ids, outcomes) = push(state, job, deadline).await;
    match (ids.first(), outcomes.first()) {
        (Some(id), Some(outcome)) => Ok(answer::single(id, outcome)),
        _ => Err(Problem::new(Code::InternalError, "the job has no outcome")),
    }
}

/// Parses, checks and encodes the job.
fn ready(state: &State, posting: &Posting, text: &Text, form: Form) -> Result<Ready, Problem> {
    let element: Element<'_> =
        serde_json::from_str(text.as_str()).map_err(|error| body::malformed(&error))?;
    let job = job_types::validate_job(&state.config.jobs, &element, form, Timestamp::now())
        .map_err(Problem::of_faults)?;
    compression::check_one(&state.config.api, &job)?;
    dedup::check_one(&state.pusher, &job)?;
    state.queues.admit_one(&job)?;
    Ok(Ready::of(state, vec![job], posting, text))
}
