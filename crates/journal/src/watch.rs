//! A view of a log for threads that do not append.

use std::fmt;
use std::sync::Arc;

use crate::Number;
use crate::disk::Disk;
use crate::log::LogFailed;
use crate::shared::Shared;

/// A view of a [`FileLog`](crate::FileLog) for threads that do not append. It is of use while the
/// log is open.
pub struct Watch<D: Disk>(Arc<Shared<D>>);

impl<D: Disk> Watch<D> {
    pub(crate) const fn new(shared: Arc<Shared<D>>) -> Self {
        Self(shared)
    }

    /// As [`Log::durable`](crate::Log::durable).
    ///
    /// # Errors
    /// Where the log has failed.
    pub fn durable(&self) -> Result<Number, LogFailed> {
        self.0.durable()
    }

    /// As [`Log::cut`](crate::Log::cut).
    pub fn cut(&self, through: Number) {
        self.0.cut(through);
    }
}

impl<D: Disk> fmt::Debug for Watch<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
