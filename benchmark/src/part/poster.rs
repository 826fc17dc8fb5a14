//! The ways to post jobs: our client over HTTP, our link, and the faktory crate.

use std::borrow::Cow;
use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use anyhow::Context;
use client::{Client, JobOutcome, NewJob, PostError};
use faktory_link::{LinkPool, Pusher};
use futures_util::future::try_join_all;
use job_types::Finite;
use job_types::jobs::Add;
use serde_json::value::RawValue;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use super::attendant::{job, timed_job};
use super::order::{LoadOrder, Shape, Via};

/// The type of jobs that the benchmark's own workers run.
pub(crate) const TIMED: &str = "benchmark_timed";
/// The type of jobs that nobody runs, with args of some size.
const EVENTS_TYPE: &str = "benchmark_events";
/// The longest for one request.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest until the API is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the baseline may try to connect.
const CONNECT_ATTEMPTS: usize = 5;

/// What became of the jobs of one request.
#[derive(Debug, Default)]
pub(crate) struct Posted {
    pub(crate) stored: u64,
    pub(crate) unknown: u64,
    pub(crate) not_stored: u64,
    pub(crate) error: Option<String>,
}

enum Way {
    Http(Client),
    Link(Box<Pusher>),
    /// As many clients as connections are allowed; each has one command under way.
    Crate {
        clients: Mutex<Vec<faktory::Client>>,
        free: Semaphore,
    },
}

/// Posts jobs of one shape.
pub(crate) struct Poster {
    way: Way,
    queue: String,
    queues: u64,
    shape: Shape,
    /// Args for those of the shape that has some, in turn.
    events: Vec<Box<RawValue>>,
}

/// Lists of events, of about 10 KB each.
const EVENTS: &str = include_str!("../../../crates/job-types/corpus/events-10KB.ndjson");

impl Poster {
    pub(crate) async fn connect(order: &LoadOrder) -> anyhow::Result<Self> {
        let server = || order.server.clone().context("the order has no work server");
        let way = match order.via {
            Via::Http => {
                let api = order.api.as_deref().context("the order has no API")?;
                // One attempt: a measurement is not to hide refusals behind retries.
                let client =
                    Client::builder(api).attempts(1).timeout(TIMEOUT).chunk_jobs(10_000).build()?;
                let ready = tokio::time::timeout(READY_TIMEOUT, async {
                    while client.ready().await.is_err() {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                });
                ready.await.context("the API did not become ready")?;
                Way::Http(client)
            }
            Via::Link | Via::Worker => {
                let pool = LinkPool::new(server()?.link_without_breaker(order.connections))
                    .map_err(|error| anyhow::anyhow!("{error}"))?;
                pool.warm_up(order.connections).await;
                Way::Link(Box::new(Pusher::new(pool)))
            }
            Via::Crate => {
                let url = server()?.url();
                let clients = try_join_all(
                    (0..order.connections).map(|_| connected(|| faktory::Client::connect_to(&url))),
                )
                .await?;
                Way::Crate { free: Semaphore::new(clients.len()), clients: Mutex::new(clients) }
            }
        };
        let events = match order.shape {
            Shape::Events => EVENTS.lines().map(serde_json::from_str).collect::<Result<_, _>>()?,
            Shape::Add | Shape::Timed { .. } => Vec::new(),
        };
        Ok(Self {
            way,
            queue: order.queue.clone(),
            queues: order.queues.max(1),
            shape: order.shape,
            events,
        })
    }

    /// Posts the jobs of these numbers in one request; `intended_us` is when that was to begin.
    pub(crate) async fn post(&self, numbers: Range<u64>, intended_us: u64) -> Posted {
        match &self.way {
            Way::Http(client) => self.post_http(client, numbers, intended_us).await,
            Way::Link(pusher) => {
                let jobs = numbers.map(|number| match self.shape {
                    Shape::Add => job("add", &self.queue_of(number), format!("[{number},1]")),
                    Shape::Timed { takes } => {
                        timed_job(&self.queue_of(number), number, intended_us, takes)
                    }
                    Shape::Events => job(
                        EVENTS_TYPE,
                        &self.queue_of(number),
                        self.events_of(number).map_or("[]", RawValue::get).into(),
                    ),
                });
                let outcomes = pusher.push(jobs.collect(), Instant::now() + TIMEOUT).await;
                let mut posted = Posted::default();
                for outcome in outcomes {
                    use faktory_link::JobOutcome as Outcome;
                    match outcome {
                        Outcome::Stored => posted.stored += 1,
                        Outcome::Unknown(why) => posted.unknown(why),
                        Outcome::Rejected(why)
                        | Outcome::ServerRefuses(why)
                        | Outcome::NotSent(_, why) => posted.not_stored(why),
                    }
                }
                posted
            }
            Way::Crate { clients, free } => {
                let Ok(_turn) = free.acquire().await else { return Posted::default() };
                let client = clients.lock().await.pop();
                let Some(mut client) = client else {
                    let mut posted = Posted::default();
                    numbers.for_each(|_| posted.not_stored("no connection is left".into()));
                    return posted;
                };
                // The crate has no limit of its own.
                let count = numbers.end - numbers.start;
                match tokio::time::timeout(
                    TIMEOUT,
                    self.post_crate(&mut client, numbers, intended_us),
                )
                .await
                {
                    Ok((posted, true)) => {
                        clients.lock().await.push(client);
                        posted
                    }
                    Ok((posted, false)) => posted,
                    Err(_) => {
                        let mut posted = Posted::default();
                        (0..count)
                            .for_each(|_| posted.unknown(format!("no answer within {TIMEOUT:?}")));
                        posted
                    }
                }
            }
        }
    }

    /// Posts the jobs of these numbers as one stream, and tells `each` what became of one after the
    /// other, in any order.
    pub(crate) async fn stream(
        &self,
        numbers: Range<u64>,
        each: &mut impl FnMut(Posted),
    ) -> Result<(), String> {
        let Way::Http(client) = &self.way else { return Err("only the API takes streams".into()) };
        let queue = self.queue.clone();
        let job = move |number: u64| {
            let (a, b) = (Finite::new(number as f64)?, Finite::new(1.0)?);
            Some(on_queue(NewJob::typed(&Add { a, b }), &queue))
        };
        let jobs = futures_util::stream::iter(numbers.filter_map(job));
        let mut results = client.post_stream(jobs).await.map_err(|error| error.to_string())?;
        while let Some(result) = results.next().await.map_err(|error| error.to_string())? {
            let mut posted = Posted::default();
            match result.outcome {
                JobOutcome::Stored { .. } => posted.stored += 1,
                JobOutcome::Failed(error @ PostError::Unknown { .. }) => {
                    posted.unknown(error.to_string())
                }
                JobOutcome::Failed(error) => posted.not_stored(error.to_string()),
            }
            each(posted);
        }
        Ok(())
    }

    async fn post_http(&self, client: &Client, numbers: Range<u64>, intended_us: u64) -> Posted {
        let mut posted = Posted::default();
        let mut jobs = Vec::with_capacity((numbers.end - numbers.start) as usize);
        for number in numbers {
            match self.http_job(number, intended_us) {
                Some(job) => jobs.push(job),
                None => posted.not_stored("the job can't be written".into()),
            }
        }
        let outcomes = match jobs.as_slice() {
            [job] => vec![match client.post(job).await {
                Ok(job_id) => JobOutcome::Stored { job_id },
                Err(error) => JobOutcome::Failed(error),
            }],
            jobs => client.post_batch(jobs).await,
        };
        for outcome in outcomes {
            match outcome {
                JobOutcome::Stored { .. } => posted.stored += 1,
                JobOutcome::Failed(error @ PostError::Unknown { .. }) => {
                    posted.unknown(error.to_string())
                }
                JobOutcome::Failed(error) => posted.not_stored(error.to_string()),
            }
        }
        posted
    }

    fn http_job(&self, number: u64, intended_us: u64) -> Option<NewJob> {
        let job = match self.shape {
            Shape::Add => {
                NewJob::typed(&Add { a: Finite::new(number as f64)?, b: Finite::new(1.0)? })
            }
            Shape::Timed { takes } => {
                NewJob::raw(TIMED, &(number, intended_us, takes.as_micros() as u64)).ok()?
            }
            Shape::Events => NewJob::raw(EVENTS_TYPE, self.events_of(number)?).ok()?,
        };
        Some(on_queue(job, &self.queue_of(number)))
    }

    fn events_of(&self, number: u64) -> Option<&RawValue> {
        self.events.get(number as usize % self.events.len().max(1)).map(AsRef::as_ref)
    }

    fn queue_of(&self, number: u64) -> Cow<'_, str> {
        match self.queues {
            1 => Cow::Borrowed(&self.queue),
            queues => Cow::Owned(format!("{}-{}", self.queue, number % queues)),
        }
    }

    /// As the crate's documentation shows it: `enqueue` for one job, `enqueue_many` for several.
    /// False where the client is of no more use.
    async fn post_crate(
        &self,
        client: &mut faktory::Client,
        numbers: Range<u64>,
        intended_us: u64,
    ) -> (Posted, bool) {
        let count = numbers.end - numbers.start;
        let mut jobs: Vec<faktory::Job> = numbers
            .map(|number| {
                let job = match self.shape {
                    Shape::Add => faktory::Job::new("add", vec![number, 1]),
                    Shape::Timed { takes } => faktory::Job::new(
                        TIMED,
                        vec![number, intended_us, takes.as_micros() as u64],
                    ),
                    Shape::Events => {
                        let args = self.events_of(number).and_then(|args| {
                            serde_json::from_str::<Vec<serde_json::Value>>(args.get()).ok()
                        });
                        faktory::Job::new(EVENTS_TYPE, args.unwrap_or_default())
                    }
                };
                job.on_queue(self.queue_of(number))
            })
            .collect();
        let result = match (jobs.len(), jobs.pop()) {
            (1, Some(job)) => client.enqueue(job).await.map(|()| 1),
            (_, Some(last)) => {
                jobs.push(last);
                client.enqueue_many(jobs).await.map(|(stored, _)| stored as u64)
            }
            (_, None) => Ok(0),
        };
        let mut posted = Posted::default();
        match result {
            Ok(stored) => {
                posted.stored = stored;
                (stored..count).for_each(|_| posted.not_stored("refused".into()));
                (posted, true)
            }
            Err(error) => {
                (0..count).for_each(|_| posted.unknown(error.to_string()));
                (posted, false)
            }
        }
    }
}

/// The default queue needs no name.
fn on_queue(job: NewJob, queue: &str) -> NewJob {
    if queue == "default" { job } else { job.queue(queue) }
}

impl Posted {
    fn unknown(&mut self, why: String) {
        self.unknown += 1;
        self.error.get_or_insert(why);
    }

    fn not_stored(&mut self, why: String) {
        self.not_stored += 1;
        self.error.get_or_insert(why);
    }
}

/// Connects the baseline, again where that fails: on a lossy link a lost handshake is sent again
/// too late for the 2 s that a work server gives it, and the crate does not try again. What is
/// measured begins after it.
pub(super) async fn connected<T, F>(mut connect: impl FnMut() -> F) -> Result<T, faktory::Error>
where
    F: Future<Output = Result<T, faktory::Error>>,
{
    for _ in 1..CONNECT_ATTEMPTS {
        if let Ok(connected) = connect().await {
            return Ok(connected);
        }
    }
    connect().await
}
