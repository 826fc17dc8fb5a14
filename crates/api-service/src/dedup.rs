//! The option `dedup_for`: only where the work server remembers the ids of jobs, and for no longer
//! than it does.

use faktory_link::Pusher;
use job_types::{FieldError, NewJob};

use crate::problem::Problem;

/// Faults of one batch that are told; more help no reader.
const FAULTS_MAX: usize = 1000;

/// Refuses the only job of a request where its id would not be remembered for so long.
pub(crate) fn check_one(pusher: &Pusher, job: &NewJob) -> Result<(), Problem> {
    check(pusher, std::slice::from_ref(job), |_| "/dedup_for".into())
}

/// Refuses a batch with jobs whose ids would not be remembered for so long.
pub(crate) fn check_batch(pusher: &Pusher, jobs: &[NewJob]) -> Result<(), Problem> {
    check(pusher, jobs, |index| format!("/jobs/{index}/dedup_for"))
}

fn check(
    pusher: &Pusher,
    jobs: &[NewJob],
    pointer: impl Fn(usize) -> String,
) -> Result<(), Problem> {
    if jobs.iter().all(|job| job.dedup_for.is_none()) {
        return Ok(());
    }
    // Before the first connection nothing is known; the link looks once more.
    let Some(window) = pusher.status().once else { return Ok(()) };
    let faults: Vec<FieldError> = jobs
        .iter()
        .enumerate()
        .filter(|(_, job)| job.dedup_for.is_some_and(|seconds| seconds > window))
        .map(|(index, _)| fault(pointer(index), window))
        .take(FAULTS_MAX)
        .collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(Problem::of_faults(faults).with("limit", window))
}

/// The fault of a job that asks for more than this many seconds.
fn fault(pointer: String, window: u32) -> FieldError {
    let (code, detail) = if window == 0 {
        let detail = "the work server does not remember ids of jobs: leave dedup_for out, and let \
                      the handler tell repeated jobs by their job_id";
        (job_types::Code::IdsNotRemembered, detail.into())
    } else {
        let detail = format!(
            "the work server remembers ids of jobs for {window} s: dedup_for is 1 to {window} \
             (BROKER_DEDUP_WINDOW)"
        );
        (job_types::Code::DedupForTooLong, detail)
    };
    FieldError { pointer, code, detail }
}
