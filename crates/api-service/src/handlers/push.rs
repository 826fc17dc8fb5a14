//! From checked jobs to their outcomes, for every handler that takes jobs.

use faktory_link::{EncodedJob, JobOutcome};
use job_types::{NewJob, Saving};
use tokio::time::Instant;

use crate::compression;
use crate::state::State;
use crate::unheard::Unheard;

/// Encodes jobs for the wire, their args compressed where the job or the configuration asks for it.
pub(super) fn encode(state: &State, jobs: Vec<NewJob>) -> Vec<EncodedJob> {
    let mut saved = Saving::default();
    let encode = |mut job: NewJob| {
        if let Some(saving) = compression::compress(&state.config.api, &mut job) {
            saved.before += saving.before;
            saved.after += saving.after;
        }
        EncodedJob::from(job.into_wire())
    };
    let encoded = jobs.into_iter().map(encode).collect();
    state.figures.compressed(saved);
    encoded
}

/// Jobs in their wire form, with their ids.
pub(super) struct Ready {
    ids: Vec<String>,
    encoded: Vec<EncodedJob>,
}

impl Ready {
    pub(super) fn of(state: &State, jobs: Vec<NewJob>) -> Self {
        let ids = jobs.iter().map(|job| job.id.as_str().to_owned()).collect();
        Self { ids, encoded: encode(state, jobs) }
    }
}

/// Pushes jobs, and returns the id and the outcome of each. Not cancel safe: dropped, the jobs
/// count as unknown.
pub(super) async fn push(
    state: &State,
    Ready { ids, encoded }: Ready,
    deadline: Instant,
) -> (Vec<String>, Vec<JobOutcome>) {
    // Where the client leaves during the push, this function is dropped and not resumed.
    let unheard = Unheard::new(&state.figures, ids.len());
    let outcomes = state.pusher.push(encoded, deadline).await;
    unheard.outcomes_are_known();
    state.note(&outcomes);
    (ids, outcomes)
}
