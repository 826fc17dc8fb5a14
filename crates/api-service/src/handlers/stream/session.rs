//! A stream in progress: from lines to jobs, from outcomes to results.
//!
//! Lines that have come together are pushed together; results leave in whatever order they become
//! known. The jobs without a result are bounded: above the bound no further line is read, and TCP
//! holds the client back. A client that reads no results is held back likewise.

use std::collections::VecDeque;

use axum::body::Bytes;
use faktory_link::{EncodedJob, FairnessKey, JobOutcome, Permit};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use super::Answer;
use super::checked::{Checked, CheckedGroup};
use crate::access::keyring::Pass;
use crate::answer;
use crate::encoding::Failure;
use crate::lines::{Line, Lines};
use crate::posting::Posting;
use crate::problem::{Code, Problem};
use crate::state::SharedState;

/// The most lines that are pushed together.
const GROUP_LINES: usize = 500;
/// The most jobs of one stream that wait for their result: at a round trip of 100 ms, enough for
/// 200,000 jobs a second.
const PENDING_JOBS: usize = 20_000;
/// The most bytes of jobs of one stream that wait for their result.
const PENDING_BYTES: usize = 16 << 20;

/// One stream in progress.
pub(super) struct Session {
    state: SharedState,
    /// What let the stream in. It is asked again, since a stream may outlive its key.
    pass: Option<Pass>,
    fairness_key: FairnessKey,
    pushing: FuturesUnordered<BoxFuture<'static, Step>>,
    /// Results that the client has not taken yet; while there are any, no line is read.
    unsent: VecDeque<Bytes>,
    /// Whether lines are being checked; meanwhile no further line is read.
    is_checking: bool,
    /// The jobs without a result.
    jobs: usize,
    /// The jobs among them that wait for a place in the link's queue.
    waiting: usize,
    /// The bytes of the jobs without a result.
    bytes: usize,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Session {
    fn drop(&mut self) {
        // The client has left before it got the results of these jobs.
        self.state.figures.unheard(self.jobs.saturating_sub(self.waiting), self.waiting);
    }
}

/// Jobs that are pushed together, with the numbers of their lines.
struct Group {
    numbers: Vec<u64>,
    ids: Vec<String>,
    bytes: usize,
    deadline: Instant,
}

/// How far a group has come.
enum Step {
    /// Lines have been checked.
    Checked(Checked),
    /// The group has its permit from the link.
    Admitted(Group, Vec<EncodedJob>, Permit),
    /// The link takes none of the group's jobs.
    Refused(Group, JobOutcome),
    /// The outcomes of the group's jobs are known.
    Answered(Group, Vec<JobOutcome>),
}

impl Session {
    pub(super) fn new(
        state: SharedState,
        pass: Option<Pass>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let fairness_key = state.pusher.new_fairness_key();
        Self {
            state,
            pass,
            fairness_key,
            pushing: FuturesUnordered::new(),
            unsent: VecDeque::new(),
            is_checking: false,
            jobs: 0,
            waiting: 0,
            bytes: 0,
            _permit: permit,
        }
    }

    /// Works on the stream until all its lines are answered, or its client is gone.
    pub(super) async fn run(mut self, mut lines: Lines, results: mpsc::Sender<Answer>) {
        let state = SharedState::clone(&self.state);
        let mut keys = state.keyring.changes();
        let mut ended = false;
        // Whether the body may have more than was read.
        let mut has_rest = true;
        while !ended || !self.pushing.is_empty() || !self.unsent.is_empty() {
            tokio::select! {
                // Polled even while no line is read: a permit of the link is not kept for a client
                // that reads no results.
                Some(step) = self.pushing.next() => self.advance(step),
                permit = results.reserve(), if !self.unsent.is_empty() => {
                    let Ok(permit) = permit else {
                        return tracing::debug!("the client of a stream is gone");
                    };
                    if let Some(lines) = self.unsent.pop_front() {
                        permit.send(Answer::Lines(lines));
                    }
                }
                () = results.closed() => return,
                next = lines.next(GROUP_LINES), if !ended && self.may_read() => match next {
                    Ok(lines) if lines.is_empty() => (ended, has_rest) = (true, false),
                    // The keys may have changed since these lines were waited for.
                    Ok(lines) => match self.check_key() {
                        Ok(()) => self.take(lines),
                        Err(problem) => {
                            ended = true;
                            self.fail(&problem);
                        }
                    },
                    Err(error) => {
                        ended = true;
                        self.fail(&why_not_read(&error));
                    }
                },
                // Lines that were read get their results; no further line is read.
                () = state.lifecycle.shutdown_begins(), if !ended => {
                    ended = true;
                    let detail = "this service is shutting down; lines that get no result were \
                                  not taken";
                    self.fail(&Problem::new(Code::ShuttingDown, detail));
                }
                () = keys.next(), if !ended => if let Err(problem) = self.check_key() {
                    ended = true;
                    self.fail(&problem);
                },
            }
        }
        if has_rest {
            // A client that is still sending would see a failed write, and not its last results.
            tokio::select! {
                () = lines.discard(&state.discards) => {}
                () = results.closed() => {}
                () = state.lifecycle.time_is_up() => {}
            }
        }
        // Fails only where the client is gone.
        let _ = results.send(Answer::End).await;
    }

    /// Whether more lines may be read: the groups of the latest reading have permits, the client
    /// takes its results, and the jobs without a result are within their bounds.
    fn may_read(&self) -> bool {
        !self.is_checking
            && self.waiting == 0
            && self.unsent.is_empty()
            && self.jobs < PENDING_JOBS
            && self.bytes < PENDING_BYTES
    }

    /// Whether the stream may still take lines.
    fn check_key(&self) -> Result<(), Problem> {
        let Some(pass) = &self.pass else { return Ok(()) };
        self.state.keyring.check_again(pass).map_err(|denied| denied.end_of_stream())
    }

    fn advance(&mut self, step: Step) {
        match step {
            Step::Checked(Checked { refused, groups }) => {
                self.is_checking = false;
                self.send(refused);
                groups.into_iter().for_each(|group| self.admit(group));
            }
            Step::Admitted(group, jobs, permit) => {
                self.waiting -= group.numbers.len();
                self.push(group, jobs, permit);
            }
            Step::Refused(group, outcome) => {
                self.waiting -= group.numbers.len();
                self.answer(&group, &vec![outcome; group.numbers.len()]);
            }
            Step::Answered(group, outcomes) => self.answer(&group, &outcomes),
        }
    }

    /// Lets lines be checked: long ones on a thread of their own, in their turn.
    fn take(&mut self, lines: Vec<Line>) {
        self.is_checking = true;
        let state = SharedState::clone(&self.state);
        let posting = Posting::of_stream(self.pass.as_ref());
        self.pushing.push(Box::pin(async move {
            let numbers: Vec<u64> = lines.iter().map(Line::number).collect();
            let bytes = lines.iter().map(Line::bytes).sum();
            let deadline = Instant::now() + state.config.api.request_timeout;
            let shared = SharedState::clone(&state);
            let work = move || Checked::new(&shared, &posting, &lines);
            let checked = state.long_work.run(bytes, deadline, work).await;
            Step::Checked(checked.unwrap_or_else(|problem| Checked::none(&numbers, &problem)))
        }));
    }

    /// Lets a group wait for a permit of the link.
    fn admit(&mut self, CheckedGroup { numbers, ids, encoded }: CheckedGroup) {
        let bytes = EncodedJob::bytes_of(&encoded);
        self.jobs += numbers.len();
        self.waiting += numbers.len();
        self.bytes += bytes;
        let state = SharedState::clone(&self.state);
        let group = Group {
            numbers,
            ids,
            bytes,
            deadline: Instant::now() + state.config.api.request_timeout,
        };
        self.pushing.push(Box::pin(async move {
            match state.pusher.acquire_permit(group.bytes, group.deadline).await {
                Ok(permit) => Step::Admitted(group, encoded, permit),
                Err(outcome) => Step::Refused(group, outcome),
            }
        }));
    }

    fn push(&self, group: Group, jobs: Vec<EncodedJob>, permit: Permit) {
        let (state, key) = (SharedState::clone(&self.state), self.fairness_key);
        self.pushing.push(Box::pin(async move {
            let outcomes = state.pusher.push_with_permit(jobs, permit, key, group.deadline).await;
            Step::Answered(group, outcomes)
        }));
    }

    /// Writes the results of a group.
    fn answer(&mut self, group: &Group, outcomes: &[JobOutcome]) {
        self.state.note(outcomes);
        self.jobs -= group.numbers.len();
        self.bytes -= group.bytes;
        let mut text = String::with_capacity(group.numbers.len() * 64);
        for ((number, id), outcome) in group.numbers.iter().zip(&group.ids).zip(outcomes) {
            match answer::member(id, outcome) {
                // An id needs no escape, because it has only [A-Za-z0-9_-].
                None => text.push_str(&format!("{{\"line\":{number},\"job_id\":\"{id}\"}}")),
                Some(error) => {
                    text.push_str(&json!({ "line": number, "error": error }).to_string())
                }
            }
            text.push('\n');
        }
        self.send(text);
    }

    /// Writes the result that belongs to no line: no further line is taken.
    fn fail(&mut self, problem: &Problem) {
        self.send(json!({ "error": problem.as_member("not_sent") }).to_string() + "\n");
    }

    /// Hands results over to the client as soon as it takes them.
    fn send(&mut self, lines: String) {
        if !lines.is_empty() {
            self.unsent.push_back(lines.into());
        }
    }
}

/// Why no further line could be read.
fn why_not_read(error: &std::io::Error) -> Problem {
    let detail = format!("the body broke off or can't be decoded: {error}");
    let code = match Failure::behind(error) {
        Some(Failure::NoMemory) => Code::Overloaded,
        Some(Failure::BrokeOff | Failure::Idle) => Code::InternalError,
        None => Code::MalformedEncoding,
    };
    Problem::new(code, detail)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use faktory_link::{LinkConfig, LinkPool, Pusher};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::config::ApiConfig;
    use crate::encoding::Encoding;
    use crate::figures::Figures;
    use crate::long_work::LongWork;
    use crate::state::State;

    #[tokio::test(start_paused = true)]
    async fn long_lines_wait_for_their_turn_of_long_work_and_short_ones_do_not() {
        let link = LinkConfig::new("127.0.0.1", 1);
        let pusher = Pusher::new(LinkPool::new(link.clone()).unwrap());
        let address = ([127, 0, 0, 1], 3000).into();
        let mut state = State::new(ApiConfig::new(link), address, pusher, Arc::new(Figures::new()));
        state.long_work = LongWork::with_turns(0);
        let state = Arc::new(state);
        let long = format!("{{\"jobtype\":\"x\",\"args\":[\"{}\"]}}\n", "a".repeat(1 << 20));
        for (body, waits) in [(format!("{long}no job\n"), true), ("no job\n".into(), false)] {
            let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            let session = Session::new(Arc::clone(&state), None, permit);
            let budget = state.bodies.budget.clone();
            let there = state.threads.handle();
            let lines = Lines::new(Encoding::Identity, Body::from(body), 2 << 20, budget, &there);
            let (results, mut answers) = mpsc::channel(16);
            tokio::spawn(session.run(lines, results));
            let mut text = String::new();
            while let Some(Answer::Lines(lines)) = answers.recv().await {
                text.push_str(std::str::from_utf8(&lines).unwrap());
            }
            assert_eq!(text.contains("wait to be parsed"), waits, "{text}");
            assert_eq!(text.contains("malformed_json"), !waits, "{text}");
        }
    }
}
