//! The memory budget for all bodies that are being read.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The bytes that one permit of the semaphore stands for.
const UNIT: usize = 1 << 10;
/// The longest wait for a share: a slow body may hold its share long, and requests must not wait
/// for slow clients.
const WAIT: Duration = Duration::from_millis(100);
/// The pause between two attempts to get a share. Requests don't wait in the semaphore's queue:
/// there, small shares would wait behind large ones.
const LOOK: Duration = Duration::from_millis(5);

/// The budget. Clones share one budget.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    permits: Arc<Semaphore>,
    units: u32,
    /// The permits for windows of decoders.
    windows: Arc<Semaphore>,
}

/// A part of the budget, returned when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    permit: OwnedSemaphorePermit,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1);
        let windows = Arc::new(Semaphore::new(of_windows(units) as usize));
        Self { permits: Arc::new(Semaphore::new(units as usize)), units, windows }
    }

    /// What the windows of decoders may have of this budget: half of it. A stream may keep a window
    /// for long, and bodies without one go on meanwhile.
    pub(crate) fn of_windows(&self) -> Self {
        let (permits, windows) = (Arc::clone(&self.windows), Arc::clone(&self.windows));
        Self { permits, units: of_windows(self.units), windows }
    }

    /// Enlarges a share, or gets one, as [`Share::grow_to`] does. Cancel safe.
    pub(crate) async fn enlarge(&self, share: &mut Option<Share>, bytes: usize) -> bool {
        match share {
            Some(share) => share.grow_to(bytes).await,
            None => {
                *share = self.share(bytes).await;
                share.is_some()
            }
        }
    }

    /// The permits for so many bytes, at most all of the budget.
    fn units_for(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.units)
    }

    /// Waits a moment for a share; `None` where other bodies hold too much. Cancel safe.
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

    /// A share of nothing.
    pub(crate) fn nothing(&self) -> Option<Share> {
        let permit = Arc::clone(&self.permits).try_acquire_many_owned(0).ok()?;
        Some(Share { budget: self.clone(), permit })
    }

    /// A share, if one is free now.
    pub(crate) fn try_share(&self, bytes: usize) -> Option<Share> {
        let permit =
            Arc::clone(&self.permits).try_acquire_many_owned(self.units_for(bytes)).ok()?;
        Some(Share { budget: self.clone(), permit })
    }
}

const fn of_windows(units: u32) -> u32 {
    units.div_ceil(2)
}

impl Share {
    fn missing_for(&self, bytes: usize) -> usize {
        let units = self.budget.units_for(bytes) as usize;
        units.saturating_sub(self.permit.num_permits()) * UNIT
    }

    /// Enlarges the share to so many bytes; false where the budget has too little left now.
    pub(crate) fn try_grow_to(&mut self, bytes: usize) -> bool {
        let missing = self.missing_for(bytes);
        if missing == 0 {
            return true;
        }
        self.budget.try_share(missing).map(|more| self.permit.merge(more.permit)).is_some()
    }

    /// Enlarges the share to so many bytes, and waits a moment for the budget where needed; false
    /// where too little came back. Cancel safe.
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
    async fn shares_grow_while_the_budget_lasts_and_return_to_it_when_dropped() {
        let budget = Budget::new(100 * UNIT);
        let mut one = budget.share(10 * UNIT).await.unwrap();
        assert!(one.grow_to(60 * UNIT).await && one.try_grow_to(50 * UNIT));
        assert!(budget.try_share(41 * UNIT).is_none() && budget.share(41 * UNIT).await.is_none());
        let other = budget.try_share(40 * UNIT).unwrap();
        assert!(!one.grow_to(61 * UNIT).await && !one.try_grow_to(61 * UNIT));
        drop(other);
        assert!(one.try_grow_to(1000 * UNIT), "a share is at most the whole budget");
        drop(one);
        assert!(budget.try_share(1000 * UNIT).is_some());
    }
}
