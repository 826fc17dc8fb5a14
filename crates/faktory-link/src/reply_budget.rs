//! The memory for large replies, shared by connections: a reply is read only once all of it has
//! been granted, in turn, so that one large reply can always be read to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The memory for the large replies of several connections. A grant lasts as long as the bytes of
/// the reply are held by anybody.
#[derive(Debug)]
pub struct ReplyBudget {
    total: u32,
    free: Arc<Semaphore>,
    /// Replies whose grants are waited for.
    awaited: AtomicUsize,
}

/// The grant for one reply; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Grant {
    _permit: Option<OwnedSemaphorePermit>,
}

impl ReplyBudget {
    /// A budget of this many bytes, up to 4 GiB.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let total = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        Self { total, free: Arc::new(Semaphore::new(total as usize)), awaited: AtomicUsize::new(0) }
    }

    /// Bytes that are granted now: of replies that are being read, or that somebody holds. A reply
    /// that is larger than the budget counts as all of it.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.total as usize - self.free.available_permits()
    }

    /// Replies that wait for their grants; their beginnings have been read.
    #[must_use]
    pub fn awaited(&self) -> usize {
        self.awaited.load(Ordering::Relaxed)
    }

    /// Waits until so many bytes are free, behind those who wait already. More than the whole
    /// budget is granted when nothing else is. Cancel safe.
    pub(crate) async fn grant(&self, bytes: usize) -> Grant {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.total);
        self.awaited.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(&self.awaited);
        // The semaphore is never closed.
        Grant { _permit: Arc::clone(&self.free).acquire_many_owned(bytes).await.ok() }
    }
}

/// Counts a reply as waiting until it is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn grants_come_in_turn_and_never_above_the_budget() {
        let budget = ReplyBudget::new(100);
        let first = budget.grant(70).await;
        let mut large = Box::pin(budget.grant(1000));
        assert!(large.as_mut().now_or_never().is_none(), "larger than the budget: alone");
        assert!(budget.grant(10).now_or_never().is_none(), "behind the one that waits");
        assert_eq!(budget.awaited(), 1, "the other one was dropped");
        assert_eq!(budget.in_use(), 100, "what is free is kept for the first that waits");
        drop(first);
        let large = large.await;
        assert_eq!(budget.in_use(), 100);
        drop(large);
        assert_eq!(budget.in_use(), 0);
    }
}
