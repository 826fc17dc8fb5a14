//! A new job: a posted job that passed every rule of the API.

use faktory_wire::{Job, RawJson, Timestamp};

use crate::compressed;
use crate::names::{JobId, JobType, QueueName};

/// A new job, fit for the work server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// The job's id, chosen by the client or generated.
    pub id: JobId,
    /// Whether the client chose the id.
    pub has_own_id: bool,
    /// The seconds for which the work server is to remember the id, where the client chose.
    pub dedup_for: Option<u32>,
    /// The type of the job, which says what to run.
    pub job_type: JobType,
    /// The args: a JSON array without white space between its tokens.
    pub args: RawJson,
    /// The queue in which the job waits.
    pub queue: QueueName,
    /// When the job is due; `None` for at once.
    pub at: Option<Timestamp>,
    /// How often a failed job is tried again, −1 to 100.
    pub retry: i64,
    /// Seconds for which a fetch reserves the job.
    pub reserve_for: i64,
    /// Lines of backtrace that the work server keeps, where the client asked for that.
    pub backtrace: Option<i64>,
    /// The client's own object.
    pub custom: Option<RawJson>,
    /// Whether the args are to be compressed, where the client chose.
    pub compress: Option<bool>,
}

/// The size of a job's args and custom before and after compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Saving {
    /// Bytes before.
    pub before: usize,
    /// Bytes after.
    pub after: usize,
}

impl NewJob {
    /// Compresses the args where that saves anything, and the client asked for compression or,
    /// where the client did not choose, the args have `from` bytes or more. `None` where the args
    /// stay as they are.
    pub fn compress_args(&mut self, from: Option<usize>) -> Option<Saving> {
        if !self.compress.unwrap_or_else(|| from.is_some_and(|from| self.args.get().len() >= from))
        {
            return None;
        }
        let size = |job: &Self| {
            job.args.get().len() + job.custom.as_ref().map_or(0, |custom| custom.get().len())
        };
        let compressed = compressed::compress(&self.args, self.custom.as_ref())?;
        let before = size(self);
        (self.args, self.custom) = (compressed.args, Some(compressed.custom));
        Some(Saving { before, after: size(self) })
    }

    /// The job in its wire form. `retry` and `reserve_for` are always sent, because the defaults of
    /// servers differ and those of Faktory can be changed by other clients. Members that every
    /// server fills in the same way are not sent.
    #[must_use]
    pub fn into_wire(self) -> Job {
        Job {
            jid: self.id.into(),
            jobtype: self.job_type.into(),
            args: Some(self.args),
            queue: (self.queue.as_str() != faktory_wire::DEFAULT_QUEUE).then(|| self.queue.into()),
            retry: Some(self.retry),
            reserve_for: Some(self.reserve_for),
            at: self.at.map(|at| at.to_string()),
            backtrace: self.backtrace,
            custom: self.custom,
            ..Job::default()
        }
    }
}
