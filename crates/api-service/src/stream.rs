//! `POST /jobs/stream`: one job a line in, one result a line out, for as long as the client likes.
//!
//! Lines that have come are pushed together; results go out as they become known, in whatever
//! order. What is neither answered nor refused is bounded: above that, no further line is read, and
//! TCP holds the client back. A client that reads no results holds back itself.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use faktory_link::{EncodedJob, JobOutcome, Room, Source};
use faktory_wire::Timestamp;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use job_types::{Element, Form, NewJob};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::answer;
use crate::body;
use crate::encoding::Encoding;
use crate::jobs::{admit_queues, encode};
use crate::lines::{Line, Lines};
use crate::problem::{Code, Problem};
use crate::state::SharedState;

/// Lines that are pushed together at the most.
const GROUP_LINES: usize = 500;
/// Jobs of one stream that wait for their result at the most: at 100 ms, 200,000 a second.
const PENDING_JOBS: usize = 20_000;
/// The same in bytes.
const PENDING_BYTES: usize = 16 << 20;
/// Chunks of results that wait for the client at the most.
const RESULTS: usize = 16;

/// Streams at a time; each may hold what is above, a line that waits for room, and a decoder.
const STREAMS_MAX: usize = 100;

/// The streams under way.
#[derive(Debug)]
pub(crate) struct Streams {
    tasks: Mutex<JoinSet<()>>,
    places: Arc<Semaphore>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { tasks: Mutex::default(), places: Arc::new(Semaphore::new(STREAMS_MAX)) }
    }
}

impl Streams {
    fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let too_many = |_| {
            Problem::new(
                Code::Overloaded,
                format!("{STREAMS_MAX} streams are under way, as many as there may be"),
            )
        };
        Arc::clone(&self.places).try_acquire_owned().map_err(too_many)
    }

    fn start(&self, stream: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(stream);
    }

    /// Ends those that still run, and waits for that.
    pub(crate) async fn end(&self) {
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}

/// What a stream tells its client.
enum Tell {
    Lines(Bytes),
    /// All is said. Without it, the answer breaks off.
    End,
}

/// The handler.
pub(crate) async fn stream(
    Extract(state): Extract<SharedState>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers();
    let checked = state
        .check_serving()
        .and_then(|()| body::check_headers_of_stream(headers))
        .and_then(|()| Encoding::of(headers));
    let (encoding, place) =
        match checked.and_then(|encoding| Ok((encoding, state.streams.place()?))) {
            Ok(checked) => checked,
            Err(problem) => return Err(body::refuse(request, problem).await),
        };
    let lines = Lines::new(
        encoding.decode(request.into_body()),
        state.config.max_body_bytes,
        state.body_budget.clone(),
    );
    let (results, answers) = mpsc::channel(RESULTS);
    let source = state.pusher.source();
    let stream = Stream {
        state: SharedState::clone(&state),
        source,
        pushing: FuturesUnordered::new(),
        unsent: VecDeque::new(),
        jobs: 0,
        waiting: 0,
        bytes: 0,
        _place: place,
    };
    // Ends when its client is gone, and at the latest when the service ends.
    state.streams.start(stream.run(lines, results));
    let answers = futures_util::stream::unfold(Some(answers), |answers| async {
        let mut answers = answers?;
        match answers.recv().await {
            Some(Tell::Lines(lines)) => Some((Ok(lines), Some(answers))),
            Some(Tell::End) => None,
            None => Some((Err(std::io::Error::other("the stream has ended early")), None)),
        }
    });
    let mut response = Response::new(Body::from_stream(answers));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

/// One stream under way.
struct Stream {
    state: SharedState,
    source: Source,
    pushing: FuturesUnordered<BoxFuture<'static, Step>>,
    /// Results that the client has not taken yet; while there are any, no line is read.
    unsent: VecDeque<Bytes>,
    /// Not yet answered.
    jobs: usize,
    /// Those of them that have no room yet.
    waiting: usize,
    bytes: usize,
    _place: OwnedSemaphorePermit,
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The client has gone before it heard of these.
        self.state.metrics.unheard(self.jobs.saturating_sub(self.waiting), self.waiting);
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
    /// There is room for it.
    Admitted(Group, Vec<EncodedJob>, Room),
    /// There is none for any of its jobs.
    Refused(Group, JobOutcome),
    Answered(Group, Vec<JobOutcome>),
}

impl Stream {
    async fn run(mut self, mut lines: Lines, results: mpsc::Sender<Tell>) {
        let state = SharedState::clone(&self.state);
        let mut ended = false;
        // Groups that have no room yet: those of one reading at a time.
        let mut admitting = 0;
        while !ended || !self.pushing.is_empty() || !self.unsent.is_empty() {
            let may_read = !ended
                && admitting == 0
                && self.unsent.is_empty()
                && self.jobs < PENDING_JOBS
                && self.bytes < PENDING_BYTES;
            tokio::select! {
                // Always polled, so that no room is kept for a client who does not read.
                Some(step) = self.pushing.next() => match step {
                    Step::Admitted(group, jobs, room) => {
                        admitting -= 1;
                        self.waiting -= group.numbers.len();
                        self.push(group, jobs, room);
                    }
                    Step::Refused(group, outcome) => {
                        admitting -= 1;
                        self.waiting -= group.numbers.len();
                        self.answer(&group, &vec![outcome; group.numbers.len()]);
                    }
                    Step::Answered(group, outcomes) => self.answer(&group, &outcomes),
                },
                place = results.reserve(), if !self.unsent.is_empty() => {
                    let Ok(place) = place else {
                        tracing::debug!("the client of a stream is gone");
                        return;
                    };
                    if let Some(lines) = self.unsent.pop_front() {
                        place.send(Tell::Lines(lines));
                    }
                }
                () = results.closed() => return,
                next = lines.next(GROUP_LINES), if may_read => match next {
                    Ok(lines) if lines.is_empty() => ended = true,
                    Ok(lines) => admitting += self.take(lines),
                    Err(error) => {
                        ended = true;
                        self.fail(Code::MalformedEncoding, format!("the body broke off or can't be decoded: {error}"));
                    }
                },
                // What has come is settled, nothing more is read.
                () = state.end_begins(), if !ended => {
                    ended = true;
                    self.fail(Code::ShuttingDown, "this service is shutting down; lines without a result were not taken".into());
                }
            }
        }
        // Nobody there: the client has gone.
        let _ = results.send(Tell::End).await;
    }

    /// Checks lines, has the jobs that are valid admitted, and answers those that are not. Returns
    /// how many groups that makes.
    fn take(&mut self, lines: Vec<Line>) -> usize {
        let now = Timestamp::now();
        let mut refused = String::new();
        let mut groups: Vec<Vec<(u64, NewJob)>> = vec![Vec::with_capacity(lines.len())];
        let mut ids = HashSet::with_capacity(lines.len());
        for line in lines {
            let (number, job) = match line {
                Line::Text(number, text) => (number, self.check(&text, now)),
                Line::TooLong(number) => {
                    (number, Err(body::too_large(self.state.config.max_body_bytes)))
                }
                Line::NoRoom(number) => (
                    number,
                    Err(Problem::new(Code::Overloaded, "too many large bodies are being read")),
                ),
            };
            match job {
                Ok(job) => {
                    // The answer to a push names jobs by id, so no id may stand in it twice.
                    if !ids.insert(job.id.as_str().to_owned()) {
                        ids = HashSet::from([job.id.as_str().to_owned()]);
                        groups.push(Vec::new());
                    }
                    if let Some(group) = groups.last_mut() {
                        group.push((number, job));
                    }
                }
                Err(problem) => {
                    refused.push_str(
                        &json!({ "line": number, "error": problem.as_member("not_sent") })
                            .to_string(),
                    );
                    refused.push('\n');
                }
            }
        }
        self.tell(refused);
        groups.retain(|group| !group.is_empty());
        let count = groups.len();
        groups.into_iter().for_each(|group| self.admit(group));
        count
    }

    fn check(&self, text: &[u8], now: Timestamp) -> Result<NewJob, Problem> {
        let text = std::str::from_utf8(text)
            .map_err(|_| Problem::new(Code::MalformedJson, "the line is not UTF-8"))?;
        let element: Element<'_> =
            serde_json::from_str(text).map_err(|error| body::malformed(&error))?;
        let job =
            job_types::validate_job(&element, Form::Members, now).map_err(Problem::of_faults)?;
        admit_queues(&self.state, std::slice::from_ref(&job), "")?;
        Ok(job)
    }

    /// Waits for room for a group.
    fn admit(&mut self, group: Vec<(u64, NewJob)>) {
        let (numbers, jobs): (Vec<u64>, Vec<NewJob>) = group.into_iter().unzip();
        let ids: Vec<String> = jobs.iter().map(|job| job.id.as_str().to_owned()).collect();
        let encoded = encode(&self.state, jobs);
        let bytes = encoded.iter().map(|job| job.json.len() + 1).sum();
        self.jobs += numbers.len();
        self.waiting += numbers.len();
        self.bytes += bytes;
        let state = SharedState::clone(&self.state);
        let group =
            Group { numbers, ids, bytes, deadline: Instant::now() + state.config.request_timeout };
        self.pushing.push(Box::pin(async move {
            match state.pusher.room_in_turn(group.bytes, group.deadline).await {
                Ok(room) => Step::Admitted(group, encoded, room),
                Err(outcome) => Step::Refused(group, outcome),
            }
        }));
    }

    fn push(&self, group: Group, jobs: Vec<EncodedJob>, room: Room) {
        let (state, source) = (SharedState::clone(&self.state), self.source);
        self.pushing.push(Box::pin(async move {
            let outcomes = state.pusher.push_in_turn(jobs, room, source, group.deadline).await;
            Step::Answered(group, outcomes)
        }));
    }

    fn answer(&mut self, group: &Group, outcomes: &[JobOutcome]) {
        self.state.note(outcomes);
        self.jobs -= group.numbers.len();
        self.bytes -= group.bytes;
        let mut text = String::with_capacity(group.numbers.len() * 64);
        for ((number, id), outcome) in group.numbers.iter().zip(&group.ids).zip(outcomes) {
            match answer::member(id, outcome) {
                // An id needs no escape: [A-Za-z0-9_-].
                None => text.push_str(&format!("{{\"line\":{number},\"job_id\":\"{id}\"}}")),
                Some(error) => {
                    text.push_str(&json!({ "line": number, "error": error }).to_string())
                }
            }
            text.push('\n');
        }
        self.tell(text);
    }

    /// Says of the stream as a whole that no more lines are taken.
    fn fail(&mut self, code: Code, detail: String) {
        let problem = Problem::new(code, detail);
        self.tell(json!({ "error": problem.as_member("not_sent") }).to_string() + "\n");
    }

    fn tell(&mut self, lines: String) {
        if !lines.is_empty() {
            self.unsent.push_back(lines.into());
        }
    }
}
