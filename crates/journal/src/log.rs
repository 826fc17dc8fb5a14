//! What a server needs of a log, wherever the log is: on this disk or milliseconds away.

use std::io;
use std::sync::Arc;

use crate::{Epoch, Number};

/// A log of records. Appending does not wait for the disk: the log says later up to which number
/// everything is durable, and several records may be under way.
pub trait Log: Send {
    /// Appends a record, and gives its number. The record survives the end of this process from
    /// now on; it is durable when [`Log::durable`] has reached its number.
    ///
    /// # Errors
    /// See [`AppendError`]. Unless the log has failed, nothing was appended, and the same record
    /// may be appended again.
    fn append(&mut self, epoch: Epoch, record: &[u8]) -> Result<Number, AppendError>;

    /// Asks that everything appended so far becomes durable. Returns at once.
    fn flush(&mut self);

    /// The number up to which all records are durable.
    ///
    /// # Errors
    /// Where the log has failed. Nothing that was not durable before ever becomes so: nothing more
    /// may be acknowledged.
    fn durable(&self) -> Result<Number, LogFailed>;

    /// Says that nothing will be appended for a while. What is durable now is noted in a second
    /// place, so that a loss of the last records is noticed when the log is opened. Returns at
    /// once.
    fn rest(&mut self);

    /// Says that the records up to this number are no longer needed. They may go, and need not.
    fn cut(&mut self, through: Number);
}

/// Is called by the log whenever [`Log::durable`] has another answer: more is durable, or the log
/// has failed. It is called from threads of the log, and from a thread that appends, syncs, works
/// or closes. So it returns at once, does not call the log, and takes no lock that is held by who
/// calls the log: it only tells somebody to look.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A write or a sync failed: which bytes reached the disk is not known, and the system may have
/// dropped those that did not. The log takes nothing more.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the log can't be written any more: {reason}")]
pub struct LogFailed {
    /// What failed, and the system's words.
    pub reason: Arc<str>,
}

impl LogFailed {
    pub(crate) fn of(what: &str, error: &io::Error) -> Self {
        Self { reason: format!("{what} failed: {error}").into() }
    }
}

/// The reason why a record was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// There is no room on the disk, or no file descriptor, for another segment. It may be tried
    /// again.
    #[error("there is no room for the record: {0}")]
    NoRoom(#[source] io::Error),
    /// Somebody has opened the log since. This writer may acknowledge nothing more.
    #[error("another process has taken over the log (epoch {current}; this one has {own})")]
    Fenced {
        /// The epoch of the caller.
        own: u64,
        /// The epoch of the log.
        current: u64,
    },
    /// The record is longer than a record may be.
    #[error("the record has {bytes} bytes; a record has at most {max}")]
    TooLong {
        /// The bytes of the record.
        bytes: usize,
        /// The most that a record has.
        max: usize,
    },
    /// The log has failed, now or before.
    #[error(transparent)]
    Failed(#[from] LogFailed),
}
