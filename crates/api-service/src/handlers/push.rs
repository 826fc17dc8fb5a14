//! From checked jobs to their outcomes, for every handler that takes jobs.

use faktory_link::{EncodedJob, JobOutcome};
use job_types::{NewJob, Saving};
use tokio::time::Instant;

use crate::body::Text;
use crate::compression;
use crate::posting::{Posting, TermsOfJobs};
use crate::state::State;
use crate::unheard::Unheard;

/// Encodes jobs for the wire, their args compressed where the job or the configuration asks for it.
pub(super) fn encode(state: &State, jobs: Vec<NewJob>, mut terms: TermsOfJobs) -> Vec<EncodedJob> {
    let mut saved = Saving::default();
    let encode = |mut job: NewJob| {
        if let Some(saving) = compression::compress(&state.config.api, &mut job) {
            saved.before += saving.before;
            saved.after += saving.after;
        }
        let terms = terms.of(&job);
        EncodedJob { terms, ..EncodedJob::from(job.into_wire()) }
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
    /// The jobs of a request with this body.
    pub(super) fn of(state: &State, mut jobs: Vec<NewJob>, posting: &Posting, body: &Text) -> Self {
        posting.give_ids(&mut jobs);
        let ids = jobs.iter().map(|job| job.id.as_str().to_owned()).collect();
        Self { ids, encoded: encode(state, jobs, posting.terms(body.as_str())) }
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
