//! The memory that bodies may take while they are read, all together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What a permit stands for, in bytes.
const UNIT: usize = 1 << 10;
/// A share is waited for so long: who holds one may be slow, and others are not to wait for that.
const WAIT: Duration = Duration::from_millis(100);
/// How often it is looked for meanwhile. Who waits in a semaphore's queue takes all that comes
/// back, and small shares would wait behind large ones.
const LOOK: Duration = Duration::from_millis(5);

/// What there is. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    room: Arc<Semaphore>,
    units: u32,
}

/// A part of it, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    permit: OwnedSemaphorePermit,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1);
        Self { room: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// Nobody can have more than there is.
    fn units_for(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.units)
    }

    /// A share, waited for a moment; `None` where others have too much. Cancel safe.
    pub(crate) async fn share(&self, bytes: usize) -> Option<Share> {
        let give_up = Instant::now() + WAIT;
        loop {
            if let Some(share) = self.try_share(bytes) {
                return Some(share);
            }
            if Instant::now() >= give_up {
                return None;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A share, if there is one now.
    pub(crate) fn try_share(&self, bytes: usize) -> Option<Share> {
        let permit = Arc::clone(&self.room).try_acquire_many_owned(self.units_for(bytes)).ok()?;
        Some(Share { budget: self.clone(), permit })
    }
}

impl Share {
    fn missing_for(&self, bytes: usize) -> usize {
        let units = self.budget.units_for(bytes) as usize;
        units.saturating_sub(self.permit.num_permits()) * UNIT
    }

    /// Makes it large enough for so many bytes, if there is room; false where there is none now.
    pub(crate) fn try_grow_to(&mut self, bytes: usize) -> bool {
        let missing = self.missing_for(bytes);
        if missing == 0 {
            return true;
        }
        self.budget.try_share(missing).map(|more| self.permit.merge(more.permit)).is_some()
    }

    /// The same, waiting for a moment; true where it has grown. Cancel safe.
    pub(crate) async fn grow_to(&mut self, bytes: usize) -> bool {
        let missing = self.missing_for(bytes);
        if missing == 0 {
            return true;
        }
        self.budget.share(missing).await.map(|more| self.permit.merge(more.permit)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shares_grow_as_long_as_there_is_room_and_come_back() {
        let budget = Budget::new(100 * UNIT);
        let mut one = budget.share(10 * UNIT).await.unwrap();
        assert!(one.grow_to(60 * UNIT).await && one.try_grow_to(50 * UNIT));
        assert!(budget.try_share(41 * UNIT).is_none() && budget.share(41 * UNIT).await.is_none());
        let other = budget.try_share(40 * UNIT).unwrap();
        assert!(!one.grow_to(61 * UNIT).await && !one.try_grow_to(61 * UNIT));
        drop(other);
        assert!(one.try_grow_to(1000 * UNIT), "nobody needs more than there is");
        drop(one);
        assert!(budget.try_share(1000 * UNIT).is_some());
    }
}
