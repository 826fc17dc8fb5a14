//! Any number of jobs, divided into requests.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use crate::answer::{Answer, Document};
use crate::builder::Client;
use crate::new_job::NewJob;
use crate::outcome::{FieldFault, JobOutcome, PostError, Problem};
use crate::post::unclear;
use crate::retry::Patience;

/// A job whose outcome is open: certainly not stored so far.
struct Open {
    index: usize,
    why: String,
}

impl Client {
    /// Posts jobs in as few requests as the limits of [`Builder`](crate::Builder) allow, several at
    /// once. Jobs that are certainly not stored, and no others, are sent again while attempts are
    /// left. One outcome for each job, in the order given.
    ///
    /// A request is all valid or none of it is sent; so one invalid job leaves the others of its
    /// request unsent.
    ///
    /// Not cancel safe: dropped, the outcomes are not known.
    pub async fn post_batch(&self, jobs: &[NewJob]) -> Vec<JobOutcome> {
        let chunks = stream::iter(
            self.chunks(jobs)
                .into_iter()
                .map(|range| self.post_chunk(range.start, jobs.get(range).unwrap_or_default())),
        );
        let outcomes: Vec<Vec<JobOutcome>> = chunks.buffered(self.chunks_in_flight).collect().await;
        outcomes.into_iter().flatten().collect()
    }

    fn chunks(&self, jobs: &[NewJob]) -> Vec<Range<usize>> {
        let mut chunks = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (index, job) in jobs.iter().enumerate() {
            if index > start
                && (index - start >= self.chunk_jobs || bytes + job.size() > self.chunk_bytes)
            {
                chunks.push(start..index);
                (start, bytes) = (index, 0);
            }
            bytes += job.size() + 1;
        }
        if start < jobs.len() {
            chunks.push(start..jobs.len());
        }
        chunks
    }

    /// Posts the jobs of one request; the first of them is number `first` of the caller's.
    async fn post_chunk(&self, first: usize, jobs: &[NewJob]) -> Vec<JobOutcome> {
        let mut outcomes: Vec<Option<JobOutcome>> = vec![None; jobs.len()];
        let mut open: Vec<Open> =
            (0..jobs.len()).map(|index| Open { index, why: String::new() }).collect();
        let mut patience = Patience::new(self.attempts, self.give_up_after);
        loop {
            let sent: Vec<usize> = open.iter().map(|open| open.index).collect();
            let body = body(sent.iter().filter_map(|index| jobs.get(*index)));
            let (left, after) =
                settle(self.send("jobs/batch", body.into()).await, first, &sent, &mut outcomes);
            open = left;
            if open.is_empty() {
                break;
            }
            let Some(pause) = patience.next_pause(after) else { break };
            tokio::time::sleep(pause).await;
        }
        for open in open {
            set(&mut outcomes, open.index, JobOutcome::Failed(PostError::NotStored(open.why)));
        }
        let unsaid = || {
            JobOutcome::Failed(PostError::Unknown {
                job_id: None,
                detail: "the answer does not tell of this job".into(),
            })
        };
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unsaid)).collect()
    }
}

fn body<'a>(jobs: impl Iterator<Item = &'a NewJob>) -> String {
    let mut body = String::from(r#"{"jobs":["#);
    for (position, job) in jobs.enumerate() {
        if position > 0 {
            body.push(',');
        }
        job.in_batch(&mut body);
    }
    body.push_str("]}");
    body
}

fn set(outcomes: &mut [Option<JobOutcome>], index: usize, outcome: JobOutcome) {
    if let Some(place) = outcomes.get_mut(index) {
        *place = Some(outcome);
    }
}

/// Notes what an answer settles, and returns what is still open: certainly not stored, and worth
/// another try.
fn settle(
    answer: Answer,
    first: usize,
    sent: &[usize],
    outcomes: &mut [Option<JobOutcome>],
) -> (Vec<Open>, Option<Duration>) {
    let all_open =
        |why: &str| sent.iter().map(|index| Open { index: *index, why: why.to_owned() }).collect();
    match answer {
        Answer::NotSent(why) => (all_open(&why), None),
        Answer::Lost(detail) => {
            for index in sent {
                set(
                    outcomes,
                    *index,
                    JobOutcome::Failed(PostError::Unknown { job_id: None, detail: detail.clone() }),
                );
            }
            (Vec::new(), None)
        }
        // Each job's own outcome stands in the answer.
        Answer::Document { status, retry_after, document }
            if document.job_ids.len() == sent.len() =>
        {
            (settle_each(status, *document, sent, outcomes), retry_after)
        }
        Answer::Document { retry_after, document, .. } if document.says_try_again() => {
            (all_open(&document.problem.detail), retry_after)
        }
        // 429 is no word of the API's: a gateway's, which leaves it open.
        Answer::Document { status: 400..=428 | 430..500, document, .. } => {
            refuse_all(&document.problem, first, sent, outcomes);
            (Vec::new(), None)
        }
        Answer::Document { status, document, .. } => {
            let detail = unclear(status, &document.problem.detail);
            for index in sent {
                set(
                    outcomes,
                    *index,
                    JobOutcome::Failed(PostError::Unknown { job_id: None, detail: detail.clone() }),
                );
            }
            (Vec::new(), None)
        }
    }
}

fn settle_each(
    status: u16,
    document: Document,
    sent: &[usize],
    outcomes: &mut [Option<JobOutcome>],
) -> Vec<Open> {
    let mut open = Vec::new();
    let rejected: HashMap<usize, _> =
        document.rejected.into_iter().map(|rejected| (rejected.index, rejected)).collect();
    let unknown: std::collections::HashSet<usize> = document.unknown.into_iter().collect();
    let not_sent: std::collections::HashSet<usize> = document.not_sent.into_iter().collect();
    for (position, (index, job_id)) in sent.iter().zip(document.job_ids).enumerate() {
        let detail = || {
            if document.problem.detail.is_empty() {
                format!("the answer was {status}")
            } else {
                document.problem.detail.clone()
            }
        };
        if let Some(rejected) = rejected.get(&position) {
            // The server refuses all work for now, not this job.
            if rejected.code == "work_server_refusing" {
                open.push(Open { index: *index, why: rejected.detail.clone() });
                continue;
            }
            let problem = Problem {
                status,
                code: rejected.code.clone(),
                detail: rejected.detail.clone(),
                ..document.problem.clone()
            };
            set(outcomes, *index, JobOutcome::Failed(PostError::Refused(problem)));
        } else if unknown.contains(&position) {
            set(
                outcomes,
                *index,
                JobOutcome::Failed(PostError::Unknown { job_id: Some(job_id), detail: detail() }),
            );
        } else if not_sent.contains(&position) {
            open.push(Open { index: *index, why: detail() });
        } else if matches!(status, 202 | 207) {
            set(outcomes, *index, JobOutcome::Stored { job_id });
        } else {
            set(
                outcomes,
                *index,
                JobOutcome::Failed(PostError::Unknown { job_id: Some(job_id), detail: detail() }),
            );
        }
    }
    open
}

/// The request is wrong, and nothing of it was enqueued. A fault belongs to the job that its
/// pointer names.
fn refuse_all(
    problem: &Problem,
    first: usize,
    sent: &[usize],
    outcomes: &mut [Option<JobOutcome>],
) {
    let mut faults: HashMap<usize, Vec<_>> = HashMap::new();
    for fault in &problem.errors {
        let place = fault
            .pointer
            .strip_prefix("/jobs/")
            .map(|rest| rest.split_once('/').unwrap_or((rest, "")));
        let Some((Ok(position), member)) =
            place.map(|(position, member)| (position.parse::<usize>(), member))
        else {
            continue;
        };
        // To the caller it is the job of this number, whatever request it went in.
        let number = first + sent.get(position).copied().unwrap_or(position);
        let slash = if member.is_empty() { "" } else { "/" };
        let fault =
            FieldFault { pointer: format!("/jobs/{number}{slash}{member}"), ..fault.clone() };
        faults.entry(position).or_default().push(fault);
    }
    for (position, index) in sent.iter().enumerate() {
        let error = match faults.remove(&position) {
            Some(errors) => {
                let first = errors.first().cloned().unwrap_or_default();
                PostError::Refused(Problem {
                    code: first.code,
                    detail: first.detail,
                    errors,
                    ..problem.clone()
                })
            }
            None if problem.errors.is_empty() => PostError::Refused(problem.clone()),
            None => PostError::NotStored("another job of the same request is not valid".into()),
        };
        set(outcomes, *index, JobOutcome::Failed(error));
    }
}
