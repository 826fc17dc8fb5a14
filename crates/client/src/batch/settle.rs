//! The outcomes of the jobs of one request, as its answers settle them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::answer::{Answer, Document, Rejected};
use crate::outcome::{FieldFault, JobOutcome, PostError, Problem};
use crate::post::unclear;

/// A job that is certainly not stored so far, and may be sent again.
struct Open {
    /// The job's index within the chunk.
    index: usize,
    /// Why the job was not stored by the latest attempt.
    why: String,
}

/// The jobs of one request and of its further attempts.
pub(super) struct Chunk {
    /// The number of the chunk's first job among the caller's jobs.
    first: usize,
    outcomes: Vec<Option<JobOutcome>>,
    /// The jobs of the next attempt, in the order in which it sends them.
    open: Vec<Open>,
    /// Jobs of the next attempt may be stored: it is the same request under the same key.
    is_in_doubt: bool,
}

impl Chunk {
    pub(super) fn new(first: usize, jobs: usize) -> Self {
        let open = (0..jobs).map(|index| Open { index, why: String::new() }).collect();
        Self { first, outcomes: vec![None; jobs], open, is_in_doubt: false }
    }

    /// The indices of the jobs that the next attempt must send, in this order.
    pub(super) fn open(&self) -> impl Iterator<Item = usize> {
        self.open.iter().map(|open| open.index)
    }

    pub(super) const fn is_settled(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether the next attempt must be the same request under the same key.
    pub(super) const fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// One outcome for each job.
    pub(super) fn into_outcomes(mut self) -> Vec<JobOutcome> {
        let mut open = std::mem::take(&mut self.open);
        open.retain(|open| self.outcomes.get(open.index).is_some_and(Option::is_none));
        for open in open {
            self.fail(open.index, PostError::NotStored(open.why));
        }
        let untold = || {
            let detail = "the answer does not tell of this job".into();
            JobOutcome::Failed(PostError::Unknown { job_id: None, detail })
        };
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(untold)).collect()
    }

    /// Notes what an answer tells of the jobs that were sent, under a key or not. Returns the pause
    /// that the API asks for before the next attempt.
    pub(super) fn settle(&mut self, answer: Answer, has_key: bool) -> Option<Duration> {
        let sent = self.open.len();
        match answer {
            Answer::NotSent(why) => {
                self.keep_all_open(&why);
                None
            }
            Answer::Lost(detail) => {
                self.all_are_unknown(&detail, has_key);
                None
            }
            // The answer tells the outcome of each job.
            Answer::Document { status, retry_after, document }
                if document.job_ids.len() == sent =>
            {
                self.settle_each(status, *document, has_key);
                retry_after
            }
            Answer::Document { retry_after, document, .. } if document.says_try_again() => {
                self.keep_all_open(&document.problem.detail);
                retry_after
            }
            // The API never answers 429. A gateway does, and leaves the outcome unknown.
            Answer::Document { status: 400..=428 | 430..500, document, .. } => {
                if self.is_in_doubt && !document.problem.is_of_the_body() {
                    self.all_are_unknown(&document.problem.detail, false);
                } else {
                    self.refuse_all(&document.problem);
                }
                None
            }
            Answer::Document { status, document, retry_after } => {
                self.all_are_unknown(&unclear(status, &document.problem.detail), has_key);
                retry_after
            }
        }
    }

    fn keep_all_open(&mut self, why: &str) {
        for open in &mut self.open {
            why.clone_into(&mut open.why);
        }
    }

    /// The jobs that were sent may be stored; under a key they are sent again.
    fn all_are_unknown(&mut self, detail: &str, has_key: bool) {
        let open = std::mem::take(&mut self.open);
        for Open { index, .. } in &open {
            if !self.is_stored(*index) {
                self.fail(*index, PostError::Unknown { job_id: None, detail: detail.to_owned() });
            }
        }
        if has_key {
            (self.open, self.is_in_doubt) = (open, true);
        }
    }

    fn is_stored(&self, index: usize) -> bool {
        let outcome = self.outcomes.get(index).and_then(Option::as_ref);
        outcome.is_some_and(JobOutcome::is_stored)
    }

    /// Notes the outcome of each job, as the answer tells it. Under a key the whole request is sent
    /// again while one of its jobs may be stored.
    fn settle_each(&mut self, status: u16, document: Document, has_key: bool) {
        let sent = std::mem::take(&mut self.open);
        let Document { job_ids, rejected, unknown, not_sent, problem, .. } = document;
        let told = Told {
            status,
            rejected: rejected.into_iter().map(|rejected| (rejected.index, rejected)).collect(),
            unknown: unknown.into_iter().collect(),
            not_sent: not_sent.into_iter().collect(),
            problem,
        };
        let mut is_any_open = false;
        for (position, (Open { index, .. }, job_id)) in sent.into_iter().zip(job_ids).enumerate() {
            let verdict = told.verdict(position, job_id);
            let is_open = matches!(verdict, Verdict::Open(_));
            is_any_open |= is_open || told.unknown.contains(&position);
            let why = match verdict {
                Verdict::Open(why) => why,
                Verdict::Settled(outcome) if outcome.is_stored() || !self.is_stored(index) => {
                    self.set(index, outcome);
                    String::new()
                }
                Verdict::Settled(_) => String::new(),
            };
            if is_open || has_key {
                self.open.push(Open { index, why });
            }
        }
        let may_be_stored = self.is_in_doubt || !told.unknown.is_empty();
        self.is_in_doubt = has_key && may_be_stored && is_any_open;
        if has_key && !self.is_in_doubt {
            // Each of them is told, or was not sent by any attempt.
            self.open.retain(|open| self.outcomes.get(open.index).is_some_and(Option::is_none));
        }
    }

    /// The request is wrong, and none of its jobs is stored. A fault belongs to the job that its
    /// pointer names.
    fn refuse_all(&mut self, problem: &Problem) {
        let sent = std::mem::take(&mut self.open);
        let mut faults: HashMap<usize, Vec<FieldFault>> = HashMap::new();
        for fault in &problem.errors {
            let Some((position, member)) = pointed_at(&fault.pointer) else { continue };
            // The caller knows the job by its number among all jobs, not within the request.
            let number = self.first + sent.get(position).map_or(position, |open| open.index);
            let pointer = format!("/jobs/{number}{member}");
            faults.entry(position).or_default().push(FieldFault { pointer, ..fault.clone() });
        }
        for (position, open) in sent.iter().enumerate() {
            let error = match faults.remove(&position) {
                Some(errors) => {
                    let FieldFault { code, detail, .. } =
                        errors.first().cloned().unwrap_or_default();
                    PostError::Refused(Problem { code, detail, errors, ..problem.clone() })
                }
                None if problem.errors.is_empty() => PostError::Refused(problem.clone()),
                None => PostError::NotStored("another job of the same request is not valid".into()),
            };
            self.fail(open.index, error);
        }
    }

    fn fail(&mut self, index: usize, error: PostError) {
        self.set(index, JobOutcome::Failed(error));
    }

    fn set(&mut self, index: usize, outcome: JobOutcome) {
        if let Some(slot) = self.outcomes.get_mut(index) {
            *slot = Some(outcome);
        }
    }
}

/// The position of a job within its request, and the rest of the pointer: `/jobs/3/queue` gives 3
/// and `/queue`.
fn pointed_at(pointer: &str) -> Option<(usize, &str)> {
    let rest = pointer.strip_prefix("/jobs/")?;
    let (position, member) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Some((position.parse().ok()?, if member == "/" { "" } else { member }))
}

/// The outcome of a job, or why the job may be sent again.
enum Verdict {
    Settled(JobOutcome),
    Open(String),
}

/// What an answer tells of the jobs of its request, by their positions.
struct Told {
    status: u16,
    rejected: HashMap<usize, Rejected>,
    unknown: HashSet<usize>,
    not_sent: HashSet<usize>,
    problem: Problem,
}

impl Told {
    fn verdict(&self, position: usize, job_id: String) -> Verdict {
        if let Some(rejected) = self.rejected.get(&position) {
            return self.verdict_on_rejected(rejected);
        }
        let is_unknown = self.unknown.contains(&position);
        if !is_unknown && self.not_sent.contains(&position) {
            return Verdict::Open(self.detail());
        }
        if !is_unknown && matches!(self.status, 202 | 207) {
            return Verdict::Settled(JobOutcome::Stored { job_id });
        }
        let (job_id, detail) = (Some(job_id), self.detail());
        Verdict::Settled(JobOutcome::Failed(PostError::Unknown { job_id, detail }))
    }

    fn verdict_on_rejected(&self, rejected: &Rejected) -> Verdict {
        let Rejected { code, detail, .. } = rejected.clone();
        // The work server refuses every job for now, not this job in particular.
        if code == "work_server_refusing" {
            return Verdict::Open(detail);
        }
        let problem = Problem { status: self.status, code, detail, ..self.problem.clone() };
        Verdict::Settled(JobOutcome::Failed(PostError::Refused(problem)))
    }

    fn detail(&self) -> String {
        if self.problem.detail.is_empty() {
            format!("the answer was {}", self.status)
        } else {
            self.problem.detail.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, document: serde_json::Value) -> Answer {
        let document = Box::new(serde_json::from_value(document).unwrap());
        Answer::Document { status, retry_after: Some(Duration::from_secs(3)), document }
    }

    #[test]
    fn an_answer_settles_each_job_or_leaves_it_for_the_next_attempt() {
        let mut chunk = Chunk::new(0, 5);
        let asked = chunk.settle(
            answer(
                207,
                serde_json::json!({
                    "job_ids": ["a", "b", "c", "d", "e"],
                    "rejected": [
                        { "index": 1, "code": "refused_by_work_server", "detail": "no" },
                        { "index": 2, "code": "work_server_refusing", "detail": "full" },
                    ],
                    "unknown": [3],
                    "not_sent": [4],
                }),
            ),
            false,
        );
        assert_eq!(asked, Some(Duration::from_secs(3)));
        assert_eq!(chunk.open().collect::<Vec<_>>(), [2, 4]);
        chunk.settle(answer(202, serde_json::json!({ "job_ids": ["f", "g"] })), false);
        assert!(chunk.is_settled());
        let outcomes = chunk.into_outcomes();
        let stored = |job_id: &str| JobOutcome::Stored { job_id: job_id.into() };
        assert_eq!(
            [&outcomes[0], &outcomes[2], &outcomes[4]],
            [&stored("a"), &stored("f"), &stored("g")]
        );
        let JobOutcome::Failed(PostError::Refused(problem)) = &outcomes[1] else {
            unreachable!("{outcomes:?}")
        };
        assert_eq!(problem.detail, "no");
        assert!(matches!(&outcomes[3], JobOutcome::Failed(PostError::Unknown { .. })));
    }

    #[test]
    fn a_job_listed_as_unknown_is_never_sent_again() {
        let mut chunk = Chunk::new(0, 1);
        let document = serde_json::json!({ "job_ids": ["a"], "unknown": [0], "not_sent": [0] });
        chunk.settle(answer(207, document), false);
        assert!(chunk.is_settled());
        let outcomes = chunk.into_outcomes();
        assert!(matches!(&outcomes[0], JobOutcome::Failed(PostError::Unknown { .. })));
    }

    #[test]
    fn under_a_key_the_whole_request_is_sent_again_until_no_job_is_unknown() {
        let mut chunk = Chunk::new(0, 3);
        let ids = ["a", "b", "c"];
        let first = serde_json::json!({ "job_ids": ids, "unknown": [1], "not_sent": [2] });
        chunk.settle(answer(207, first), true);
        assert!(chunk.is_in_doubt());
        assert_eq!(chunk.open().collect::<Vec<_>>(), [0, 1, 2]);
        chunk.settle(Answer::Lost("cut".into()), true);
        assert!(chunk.is_in_doubt());
        let second = serde_json::json!({ "job_ids": ids, "not_sent": [1] });
        chunk.settle(answer(207, second), true);
        assert_eq!((chunk.is_in_doubt(), chunk.open().count()), (true, 3));
        let mut given_up = Chunk { open: Vec::new(), ..Chunk::new(0, 3) };
        given_up.outcomes.clone_from(&chunk.outcomes);
        let given_up = given_up.into_outcomes();
        let is_unknown =
            |outcome| matches!(outcome, &JobOutcome::Failed(PostError::Unknown { .. }));
        assert!(given_up[0].is_stored() && is_unknown(&given_up[1]) && given_up[2].is_stored());
        chunk.settle(answer(202, serde_json::json!({ "job_ids": ids })), true);
        assert!(chunk.is_settled() && !chunk.is_in_doubt());
        assert!(chunk.into_outcomes().iter().all(JobOutcome::is_stored));
    }

    #[test]
    fn under_a_key_jobs_that_no_attempt_sent_are_another_request() {
        let mut chunk = Chunk::new(0, 2);
        let document = serde_json::json!({ "job_ids": ["a", "b"], "not_sent": [1] });
        chunk.settle(answer(207, document), true);
        assert_eq!((chunk.is_in_doubt(), chunk.open().collect::<Vec<_>>()), (false, vec![1]));
    }

    #[test]
    fn a_fault_is_told_by_the_number_of_the_job_among_the_callers_jobs() {
        let mut chunk = Chunk::new(100, 3);
        let fault = serde_json::json!({ "pointer": "/jobs/1/queue", "code": "invalid_queue" });
        chunk.settle(answer(422, serde_json::json!({ "errors": [fault] })), false);
        assert!(chunk.is_settled());
        let outcomes = chunk.into_outcomes();
        for valid in [&outcomes[0], &outcomes[2]] {
            assert!(matches!(valid, JobOutcome::Failed(PostError::NotStored(_))));
        }
        let JobOutcome::Failed(PostError::Refused(problem)) = &outcomes[1] else {
            unreachable!("{outcomes:?}")
        };
        assert_eq!(problem.errors[0].pointer, "/jobs/101/queue");
    }

    #[test]
    fn a_pointer_names_a_job_and_a_member() {
        assert_eq!(pointed_at("/jobs/3/queue"), Some((3, "/queue")));
        assert_eq!(pointed_at("/jobs/3"), Some((3, "")));
        assert_eq!(pointed_at("/jobs/3/"), Some((3, "")));
        assert_eq!(pointed_at("/jobs"), None);
        assert_eq!(pointed_at("/jobs/x"), None);
    }
}
