//! A budget of bytes that many share and wait for. A share grows piece by piece. Where the budget
//! is used up, shares could wait for each other for ever; so a part of it is set aside for one
//! share at a time, which then grows to its full size, ends, and hands the part on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bytes that one permit of the semaphores stands for.
const UNIT: usize = 1 << 10;

/// The budget. Clones share one budget. Whoever waits longest is served first.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    pool: Arc<Semaphore>,
    /// The one permit for the part that is set aside.
    set_aside: Arc<Semaphore>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    pool_units: usize,
    waiting: AtomicUsize,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    pool: Option<OwnedSemaphorePermit>,
    set_aside: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of `bytes`, of which `largest` are set aside: no share ever needs more. It is never
    /// less than `largest`.
    pub(crate) fn new(bytes: usize, largest: usize) -> Self {
        let units = (bytes.saturating_sub(largest) / UNIT).min(Semaphore::MAX_PERMITS);
        Self {
            pool: Arc::new(Semaphore::new(units)),
            set_aside: Arc::new(Semaphore::new(1)),
            state: Arc::new(State { pool_units: units, waiting: AtomicUsize::new(0) }),
        }
    }

    /// A share of nothing.
    pub(crate) fn share(&self) -> Share {
        Share { budget: self.clone(), pool: None, set_aside: None }
    }

    /// The shares that wait for bytes.
    pub(crate) fn waiting(&self) -> usize {
        self.state.waiting.load(Ordering::Relaxed)
    }

    /// The bytes that shares hold, without the part that is set aside.
    pub(crate) fn used(&self) -> usize {
        (self.state.pool_units - self.pool.available_permits().min(self.state.pool_units)) * UNIT
    }
}

impl Share {
    /// Waits until the share has `bytes`. Cancel safe: what was had before is kept, and the place
    /// in the queue is lost.
    pub(crate) async fn grow_to(&mut self, bytes: usize) {
        let had = self.pool.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = bytes.div_ceil(UNIT).saturating_sub(had);
        if self.set_aside.is_some() || missing == 0 {
            return;
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let pool = Arc::clone(&self.budget.pool);
        if let Ok(permit) = Arc::clone(&pool).try_acquire_many_owned(missing) {
            return self.add(permit);
        }
        let _waiting = Waiting::new(&self.budget.state);
        tokio::select! {
            biased;
            Ok(permit) = pool.acquire_many_owned(missing) => self.add(permit),
            Ok(permit) = Arc::clone(&self.budget.set_aside).acquire_owned() => {
                self.set_aside = Some(permit);
            }
            // The semaphores are never closed.
            else => {}
        }
    }

    fn add(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.pool {
            Some(pool) => pool.merge(permit),
            None => self.pool = Some(permit),
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.pool.is_none() && self.set_aside.is_none()
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self) {
        (self.pool, self.set_aside) = (None, None);
    }

    pub(crate) const fn budget(&self) -> &Budget {
        &self.budget
    }
}

/// Counts a share as waiting, until dropped.
struct Waiting(Arc<State>);

impl Waiting {
    fn new(state: &Arc<State>) -> Self {
        state.waiting.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(state))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};

    use super::*;

    async fn is_ready(future: Pin<&mut impl Future<Output = ()>>) -> bool {
        tokio::select! {
            biased;
            () = future => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn of_shares_that_want_more_than_there_is_one_ends_and_then_the_next() {
        let budget = Budget::new(300 * UNIT, 100 * UNIT);
        let mut shares: Vec<Share> = (0..4).map(|_| budget.share()).collect();
        let [a, b, c, d] = shares.as_mut_slice() else { panic!() };
        a.grow_to(90 * UNIT).await;
        b.grow_to(90 * UNIT).await;
        c.grow_to(20 * UNIT).await;
        assert_eq!(budget.used(), 200 * UNIT);
        // `c` gets the part that is set aside, and waits for nothing after that.
        assert!(is_ready(pin!(c.grow_to(50 * UNIT))).await);
        assert!(is_ready(pin!(c.grow_to(100 * UNIT))).await);
        {
            let mut a_grows = pin!(a.grow_to(100 * UNIT));
            let mut d_grows = pin!(d.grow_to(10 * UNIT));
            assert!(!is_ready(a_grows.as_mut()).await);
            assert!(!is_ready(d_grows.as_mut()).await);
            assert_eq!(budget.waiting(), 2);
            // What the end of `c` gives back goes to `a`, which has waited longest.
            c.clear();
            assert!(is_ready(a_grows.as_mut()).await);
            assert!(is_ready(d_grows.as_mut()).await);
        }
        assert_eq!((budget.waiting(), c.is_empty(), a.is_empty()), (0, true, false));
        drop(shares);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_budget_below_the_largest_share_still_lets_one_through_at_a_time() {
        let budget = Budget::new(1, 100 * UNIT);
        let (mut a, mut b) = (budget.share(), budget.share());
        a.grow_to(100 * UNIT).await;
        let mut waits = pin!(b.grow_to(UNIT));
        assert!(!is_ready(waits.as_mut()).await);
        drop(a);
        assert!(is_ready(waits.as_mut()).await);
    }
}
