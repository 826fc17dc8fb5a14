//! A job that passed every rule of the API.

use faktory_wire::{Job, RawJson, Timestamp};

use crate::names::{JobId, JobType, QueueName};

/// A job fit for the work server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Its id, the caller's or made.
    pub id: JobId,
    /// What to run.
    pub job_type: JobType,
    /// A JSON array without white space between its tokens.
    pub args: RawJson,
    /// Where it waits.
    pub queue: QueueName,
    /// When it is due; `None` at once.
    pub at: Option<Timestamp>,
    /// How often it is tried again, −1 to 100.
    pub retry: i64,
    /// Seconds for which a fetch reserves it.
    pub reserve_for: i64,
    /// Lines of backtrace kept, where asked for.
    pub backtrace: Option<i64>,
    /// The caller's own object.
    pub custom: Option<RawJson>,
}

impl NewJob {
    /// The job as it goes over the wire. `retry` and `reserve_for` always stand there, because a server's
    /// defaults differ and Faktory's can be changed by others; what the server fills in anyway does not.
    #[must_use]
    pub fn to_wire(&self) -> Job {
        Job {
            jid: self.id.as_str().into(),
            jobtype: self.job_type.as_str().into(),
            args: Some(self.args.clone()),
            queue: (self.queue != QueueName::default()).then(|| self.queue.as_str().into()),
            retry: Some(self.retry),
            reserve_for: Some(self.reserve_for),
            at: self.at.map(|at| at.to_string()),
            backtrace: self.backtrace,
            custom: self.custom.clone(),
            ..Job::default()
        }
    }

    /// The job as JSON on one line.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(160);
        self.to_wire().encode(&mut json);
        json
    }
}
