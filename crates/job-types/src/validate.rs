//! The rules of the API: from a posted job to a job that is fit for the work server.

mod posted;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use faktory_wire::Timestamp;

use self::posted::Posted;
use crate::definition::Definition;
use crate::field_error::{Code, FieldError};
use crate::members::{Element, MEMBERS_MAX};
use crate::names::JobId;
use crate::new_job::NewJob;
use crate::options::Options;
use crate::registry::Registry;

/// Faults of one batch after which the search for faults ends.
const FAULTS_MAX: usize = 1000;

/// The form in which a posted job says what to run.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// By its members: `operation`, or `jobtype` and `args`.
    Members,
    /// By the path of the request: the job has only the operation's own members and options.
    Operation(Definition),
}

/// Applies every rule to each job of a batch, and the rule that no id appears in the batch twice.
///
/// # Errors
/// With every fault found; the pointers start with `prefix` and the job's index (`/jobs/3/queue`).
pub fn validate_batch(
    registry: &Registry,
    elements: &[Element<'_>],
    prefix: &str,
    now: Timestamp,
) -> Result<Vec<NewJob>, Vec<FieldError>> {
    let mut jobs = Vec::with_capacity(elements.len());
    let mut errors = Vec::new();
    // Of each valid job with an id of the client's: its index in the batch and in `jobs`.
    let mut with_own_id: Vec<(usize, usize)> = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        match validate_job(registry, element, Form::Members, now) {
            Ok(job) => {
                if job.has_own_id {
                    with_own_id.push((index, jobs.len()));
                }
                jobs.push(job);
            }
            Err(faults) => errors
                .extend(faults.into_iter().map(|fault| fault.inside(&format!("{prefix}/{index}")))),
        }
        if errors.len() >= FAULTS_MAX {
            // More faults help no reader, and each costs memory.
            return Err(errors);
        }
    }
    let mut first_with: HashMap<&str, usize> = HashMap::with_capacity(with_own_id.len());
    for (index, job) in with_own_id.iter().filter_map(|(index, at)| Some((index, jobs.get(*at)?))) {
        if let Some(first) = first_with.insert(job.id.as_str(), *index) {
            let detail = format!("job {first} of this batch has the same job_id; ids must differ");
            errors.push(
                FieldError::at("job_id", Code::DuplicateJobId, detail)
                    .inside(&format!("{prefix}/{index}")),
            );
        }
    }
    if errors.is_empty() { Ok(jobs) } else { Err(errors) }
}

/// Applies every rule to one job; its type may be one of the registry. Delays count from `now`.
///
/// # Errors
/// With every fault found; the pointers are relative to the job.
pub fn validate_job(
    registry: &Registry,
    element: &Element<'_>,
    form: Form,
    now: Timestamp,
) -> Result<NewJob, Vec<FieldError>> {
    let members = match element {
        Element::Object(members) => members,
        Element::Other(kind) => {
            let detail = format!("a job must be an object, not {kind}");
            return Err(vec![FieldError::new("", Code::NotAnObject, detail)]);
        }
    };
    if members.too_many {
        let detail = format!("a job has at most {MEMBERS_MAX} members");
        return Err(vec![FieldError::new("", Code::UnknownField, detail)]);
    }
    let mut posted = Posted::sort(members, now);
    let what = posted.what_to_run(registry, form);
    if let Err(error) = posted.options.check_together() {
        posted.errors.push(error);
    }
    let (job_type, args) = match what {
        Some(what) if posted.errors.is_empty() => what,
        _ => return Err(posted.errors),
    };
    let Options {
        queue,
        id,
        dedup_for,
        due: at,
        retry,
        reserve_for,
        backtrace,
        custom,
        compress,
        ..
    } = posted.options;
    let has_own_id = id.is_some();
    let job = NewJob {
        id: id.unwrap_or_else(|| JobId::generate(now)),
        has_own_id,
        dedup_for,
        job_type,
        args,
        queue,
        at,
        retry,
        reserve_for,
        backtrace,
        custom,
        compress,
    };
    Ok(job)
}
