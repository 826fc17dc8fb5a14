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

/// The bytes of a small share.
pub(crate) const SMALL_BYTES: usize = 64 << 10;
/// The part of a budget, on top of it, that is for small shares alone: 1/16. Who posts little does
/// not wait for those who post much.
const FOR_SMALL: u32 = 16;

/// The budget. Clones share one budget.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    permits: Arc<Semaphore>,
    units: u32,
    /// The permits for small shares alone.
    small: Arc<Semaphore>,
    /// Shares may be out of these.
    is_for_small: bool,
    /// The permits for windows of decoders.
    windows: Arc<Semaphore>,
}

/// A part of the budget, returned when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    permit: OwnedSemaphorePermit,
    /// The part of a small share that is not in `permit`.
    small: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1);
        let semaphore = |units: u32| Arc::new(Semaphore::new(units as usize));
        let (windows, small) = (semaphore(of_windows(units)), semaphore(units / FOR_SMALL));
        Self { permits: semaphore(units), units, small, is_for_small: false, windows }
    }

    /// What the windows of decoders may have of this budget: half of it. A stream may keep a window
    /// for long, and bodies without one go on meanwhile.
    pub(crate) fn of_windows(&self) -> Self {
        let permits = Arc::clone(&self.windows);
        Self { permits, units: of_windows(self.units), ..self.clone() }
    }

    /// The budget for a body of so many bytes at the most. The beginning of a large one is no small
    /// share, or many slow large ones would have all that is for small ones.
    pub(crate) fn for_body(&self, bytes: usize) -> Self {
        Self { is_for_small: bytes <= SMALL_BYTES, ..self.clone() }
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
        let mut share = self.nothing()?;
        share.grow_to(bytes.max(1)).await.then_some(share)
    }

    /// A share of nothing.
    pub(crate) fn nothing(&self) -> Option<Share> {
        let permit = Arc::clone(&self.permits).try_acquire_many_owned(0).ok()?;
        Some(Share { budget: self.clone(), permit, small: None })
    }

    /// A share, if one is free now.
    pub(crate) fn try_share(&self, bytes: usize) -> Option<Share> {
        self.nothing().and_then(|mut share| share.try_grow_to(bytes).then_some(share))
    }
}

const fn of_windows(units: u32) -> u32 {
    units.div_ceil(2)
}

impl Share {
    /// Enlarges the share to so many bytes; false where the budget has too little left now.
    pub(crate) fn try_grow_to(&mut self, bytes: usize) -> bool {
        let units = self.budget.units_for(bytes);
        let held = self.permit.num_permits();
        let small = self.small.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if units as usize <= held + small {
            return true;
        }
        if self.budget.is_for_small
            && bytes <= SMALL_BYTES
            && self.grow_small_by(units as usize - held - small)
        {
            return true;
        }
        // All of a share that is no longer small comes out of what is for everybody.
        let missing = u32::try_from(units as usize - held).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.budget.permits).try_acquire_many_owned(missing);
        let is_there = more.map(|more| self.permit.merge(more)).is_ok();
        if is_there {
            self.small = None;
        }
        is_there
    }

    /// Enlarges the part that is out of what is for small shares.
    fn grow_small_by(&mut self, units: usize) -> bool {
        let Ok(units) = u32::try_from(units) else { return false };
        let Ok(more) = Arc::clone(&self.budget.small).try_acquire_many_owned(units) else {
            return false;
        };
        match &mut self.small {
            Some(small) => small.merge(more),
            None => self.small = Some(more),
        }
        true
    }

    /// Enlarges the share to so many bytes, and waits a moment for the budget where needed; false
    /// where too little came back. Cancel safe.
    pub(crate) async fn grow_to(&mut self, bytes: usize) -> bool {
        let give_up = Instant::now() + WAIT;
        loop {
            if self.try_grow_to(bytes) {
                return true;
            }
            if Instant::now() >= give_up {
                return false;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shares_grow_while_the_budget_lasts_and_return_to_it_when_dropped() {
        let budget = Budget::new(10 * UNIT);
        let mut one = budget.share(UNIT).await.unwrap();
        assert!(one.grow_to(6 * UNIT).await && one.try_grow_to(5 * UNIT));
        assert!(budget.try_share(5 * UNIT).is_none() && budget.share(5 * UNIT).await.is_none());
        let other = budget.try_share(4 * UNIT).unwrap();
        assert!(!one.grow_to(7 * UNIT).await && !one.try_grow_to(7 * UNIT));
        drop(other);
        assert!(one.try_grow_to(1000 * UNIT), "a share is at most the whole budget");
        drop(one);
        assert!(budget.try_share(1000 * UNIT).is_some());
    }

    #[test]
    fn small_shares_do_not_wait_for_large_ones() {
        let whole = Budget::new(320 * UNIT);
        let budget = whole.for_body(SMALL_BYTES);
        let large = whole.try_share(320 * UNIT).unwrap();
        assert!(whole.for_body(SMALL_BYTES + 1).try_share(UNIT).is_none(), "it will be large");
        let mut small = budget.try_share(8 * UNIT).unwrap();
        assert!(small.try_grow_to(20 * UNIT));
        assert!(budget.try_share(UNIT).is_none(), "there are 20 for small shares");
        assert!(!small.try_grow_to(65 * UNIT), "that is no small share");
        drop(large);
        assert!(small.try_grow_to(65 * UNIT));
        let others: Vec<Share> = (0..20).map(|_| budget.try_share(UNIT).unwrap()).collect();
        assert!(budget.try_share((320 - 65) * UNIT).is_some(), "what is large holds nothing small");
        drop((small, others));
        assert!(budget.try_share(320 * UNIT).is_some());
    }
}
