//! The jobs of a load by their numbers, in the form that each way takes.

use std::borrow::Cow;

use client::NewJob;
use faktory_link::EncodedJob;
use job_types::Finite;
use job_types::jobs::Add;
use serde_json::value::RawValue;

use crate::part::job;
use crate::part::order::{LoadOrder, Shape};

/// Lists of events, of about 10 KB each.
const EVENTS: &str = include_str!("../../../../crates/job-types/corpus/events-10KB.ndjson");

/// The jobs of one load: their shape and their queues.
pub(super) struct NumberedJobs {
    queue: String,
    queues: u64,
    shape: Shape,
    /// Args for jobs of [`Shape::Events`], used in turn.
    events: Vec<Box<RawValue>>,
}

impl NumberedJobs {
    pub(super) fn of(order: &LoadOrder) -> anyhow::Result<Self> {
        let events = match order.shape {
            Shape::Events => EVENTS.lines().map(serde_json::from_str).collect::<Result<_, _>>()?,
            Shape::Add | Shape::Timed { .. } => Vec::new(),
        };
        Ok(Self {
            queue: order.queue.clone(),
            queues: order.queues.max(1),
            shape: order.shape,
            events,
        })
    }

    /// The job for our client.
    pub(super) fn http(&self, number: u64, intended_us: u64) -> Option<NewJob> {
        let job = match self.shape {
            Shape::Add => Self::add(number)?,
            Shape::Timed { takes } => {
                NewJob::raw(job::TIMED, &(number, intended_us, takes.as_micros() as u64)).ok()?
            }
            Shape::Events => NewJob::raw(job::EVENTS, self.events_of(number)?).ok()?,
        };
        Some(on_queue(job, &self.queue_of(number)))
    }

    /// The smallest typed job, for a stream into one queue.
    pub(super) fn streamed(number: u64, queue: &str) -> Option<NewJob> {
        Some(on_queue(Self::add(number)?, queue))
    }

    fn add(number: u64) -> Option<NewJob> {
        Some(NewJob::typed(&Add { a: Finite::new(number as f64)?, b: Finite::new(1.0)? }))
    }

    /// The job for our link.
    pub(super) fn encoded(&self, number: u64, intended_us: u64) -> EncodedJob {
        let queue = self.queue_of(number);
        match self.shape {
            Shape::Add => job::encoded("add", &queue, format!("[{number},1]")),
            Shape::Timed { takes } => job::timed(&queue, number, intended_us, takes),
            Shape::Events => {
                let args = self.events_of(number).map_or("[]", RawValue::get);
                job::encoded(job::EVENTS, &queue, args.into())
            }
        }
    }

    /// The job for the faktory crate.
    pub(super) fn crate_job(&self, number: u64, intended_us: u64) -> faktory::Job {
        let job = match self.shape {
            Shape::Add => faktory::Job::new("add", vec![number, 1]),
            Shape::Timed { takes } => {
                let args = vec![number, intended_us, takes.as_micros() as u64];
                faktory::Job::new(job::TIMED, args)
            }
            Shape::Events => {
                let args = self.events_of(number).and_then(|args| {
                    serde_json::from_str::<Vec<serde_json::Value>>(args.get()).ok()
                });
                faktory::Job::new(job::EVENTS, args.unwrap_or_default())
            }
        };
        job.on_queue(self.queue_of(number))
    }

    /// The queue without a number; a stream goes into this queue.
    pub(super) fn queue(&self) -> &str {
        &self.queue
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
}

/// Names the job's queue, unless it is the default queue, which needs no name.
fn on_queue(job: NewJob, queue: &str) -> NewJob {
    if queue == "default" { job } else { job.queue(queue) }
}
