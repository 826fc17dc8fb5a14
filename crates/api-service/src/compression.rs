//! Which jobs may be compressed: only those of queues that the configuration names, because a
//! worker that does not know the compressed form takes it for the args.

use job_types::{FieldError, NewJob, Saving};
use service_runtime::ApiSettings;

use crate::problem::Problem;

/// Refuses the only job of a request where it asks for a compression that its queue does not have.
pub(crate) fn check_one(settings: &ApiSettings, job: &NewJob) -> Result<(), Problem> {
    if is_refused(settings, job) {
        return Err(Problem::of_faults(vec![fault("/compress".into(), job)]));
    }
    Ok(())
}

/// Refuses a batch with jobs that ask for a compression that their queues do not have.
pub(crate) fn check_batch(settings: &ApiSettings, jobs: &[NewJob]) -> Result<(), Problem> {
    let refused = jobs.iter().enumerate().filter(|(_, job)| is_refused(settings, job));
    let faults: Vec<FieldError> = refused
        .map(|(index, job)| fault(format!("/jobs/{index}/compress"), job))
        .take(FAULTS_MAX)
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Problem::of_faults(faults)) }
}

/// Faults of one batch that are told; more help no reader.
const FAULTS_MAX: usize = 1000;

/// Compresses a job's args where the job or the configuration asks for it, and its queue has it.
pub(crate) fn compress(settings: &ApiSettings, job: &mut NewJob) -> Option<Saving> {
    if !settings.compress_queues.contains(job.queue.as_str()) {
        return None;
    }
    job.compress_args(settings.compress_from)
}

fn is_refused(settings: &ApiSettings, job: &NewJob) -> bool {
    job.compress == Some(true) && !settings.compress_queues.contains(job.queue.as_str())
}

fn fault(pointer: String, job: &NewJob) -> FieldError {
    let detail = format!(
        "args of the queue {} are not compressed, because COMPRESS_QUEUES does not name it: every \
         worker of a queue named there must unpack them",
        job.queue.as_str()
    );
    FieldError { pointer, code: job_types::Code::CompressionNotEnabled, detail }
}
