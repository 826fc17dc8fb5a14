//! `POST /jobs/batch`: many jobs a request; either all are valid, or none is sent.

use axum::extract::{Request, State as Extract};
use axum::response::Response;
use faktory_wire::Timestamp;
use job_types::{Element, FieldError};

use super::push::{Ready, push};
use crate::batch_body::{BatchBody, Jobs};
use crate::body::{Holds, Text};
use crate::posting::Posting;
use crate::problem::{Code, Problem};
use crate::state::{SharedState, State};
use crate::{answer, body, compression, dedup};

/// The handler.
pub(crate) async fn batch(
    Extract(state): Extract<SharedState>,
    request: Request,
) -> Result<Response, Problem> {
    let posting = Posting::of(&state.pusher, &request, "/jobs/batch")?;
    let deadline = state.deadline(request.headers());
    let body = state.read_json(Holds::Batch, request, deadline).await?;
    let bytes = body.len();
    let shared = SharedState::clone(&state);
    let work = move || ready(&shared, &posting, &body.into_text()?);
    let jobs = state.long_work.run(bytes, deadline, work).await??;
    let (ids, outcomes) = push(&state, jobs, deadline).await;
    Ok(answer::batch(&ids, &outcomes))
}

/// Parses, checks and encodes the jobs.
fn ready(state: &State, posting: &Posting, text: &Text) -> Result<Ready, Problem> {
    let limit = state.config.api.max_batch_jobs;
    let mut json = serde_json::Deserializer::from_str(text.as_str());
    let body = BatchBody::read(&mut json, limit).and_then(|body| json.end().map(|()| body));
    let elements = elements(body.map_err(|error| body::malformed(&error))?, limit)?;
    check_sizes(&elements, state.bodies.max_job_bytes)?;
    let now = Timestamp::now();
    let jobs = job_types::validate_batch(&state.config.jobs, &elements, "/jobs", now)
        .map_err(Problem::of_faults)?;
    compression::check_batch(&state.config.api, &jobs)?;
    dedup::check_batch(&state.pusher, &jobs)?;
    state.queues.admit_batch(&jobs)?;
    Ok(Ready::of(state, jobs, posting, text))
}

/// Refuses a batch with jobs that are too large; the errors name these jobs.
fn check_sizes(elements: &[Element<'_>], limit: usize) -> Result<(), Problem> {
    let sizes = elements.iter().map(Element::bytes).enumerate();
    let faults: Vec<FieldError> = sizes
        .filter(|(_, bytes)| *bytes > limit)
        .map(|(index, bytes)| {
            let detail = format!(
                "the job has {bytes} bytes; {limit} are accepted at the most ({})",
                body::job_bound(limit)
            );
            body::job_fault(format!("/jobs/{index}"), detail)
        })
        .collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(Problem::of_faults(faults).with("limit", limit))
}

/// The characters of a member's name that an answer repeats, as in pointers to members of jobs.
const NAME_SHOWN: usize = 100;

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
        let shown = |name: &String| name.chars().take(NAME_SHOWN).collect::<String>();
        let escaped = |name: String| name.replace('~', "~0").replace('/', "~1");
        let pointer = |name: &String| format!("/{}", escaped(shown(name)));
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
