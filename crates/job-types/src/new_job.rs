//! A job that passed every rule of the API.

use faktory_wire::{Job, RawJson, Timestamp};

use crate::compressed;
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
    /// Whether its args are to be compressed, where the caller said.
    pub compress: Option<bool>,
}

/// What compression made of a job's args and custom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Saving {
    /// Bytes before.
    pub before: usize,
    /// Bytes after.
    pub after: usize,
}

impl NewJob {
    /// Compresses the args where the caller asked for it, or did not say and they have `from` bytes
    /// or more, and where that saves anything; `None` where they stay as they are.
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

    /// The job as it goes over the wire. `retry` and `reserve_for` always stand there, because a
    /// server's defaults differ and Faktory's can be changed by others; what the server fills in
    /// anyway does not.
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
