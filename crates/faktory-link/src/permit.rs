//! Permits to push jobs, and the two byte budgets that permits are taken from.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// Bytes of jobs that wait or are in flight, for callers that are refused where the budget is used
/// up.
const IMMEDIATE_BYTES: u32 = 64 << 20;
/// The same for callers that wait for a permit. The budget is a second one, so that callers that
/// wait take nothing from callers that do not.
const IN_TURN_BYTES: u32 = 32 << 20;

/// A permit to push jobs, held until the last of these jobs is answered. Permits bound the memory
/// of jobs that wait or are in flight.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

/// The two budgets, in bytes.
#[derive(Debug)]
pub(crate) struct ByteBudgets {
    immediate: Arc<Semaphore>,
    in_turn: Arc<Semaphore>,
}

impl ByteBudgets {
    pub(crate) fn new() -> Self {
        Self {
            immediate: Arc::new(Semaphore::new(IMMEDIATE_BYTES as usize)),
            in_turn: Arc::new(Semaphore::new(IN_TURN_BYTES as usize)),
        }
    }

    /// Takes a permit for jobs of `bytes` bytes without waiting. Jobs larger than the whole budget
    /// need the whole budget.
    pub(crate) fn try_acquire(&self, bytes: usize) -> Result<Permit, TryAcquireError> {
        let size = u32::try_from(bytes).unwrap_or(IMMEDIATE_BYTES).min(IMMEDIATE_BYTES);
        let permit = Arc::clone(&self.immediate).try_acquire_many_owned(size)?;
        Ok(Permit { _permit: permit })
    }

    /// Waits for a permit for jobs of `bytes` bytes; callers are served in the order in which they
    /// came. Cancel safe.
    pub(crate) async fn acquire(&self, bytes: usize) -> Result<Permit, AcquireError> {
        let size = u32::try_from(bytes).unwrap_or(IN_TURN_BYTES).min(IN_TURN_BYTES);
        let permit = Arc::clone(&self.in_turn).acquire_many_owned(size).await?;
        Ok(Permit { _permit: permit })
    }

    /// Gives out no more permits: every caller that waits for one is refused.
    pub(crate) fn close(&self) {
        self.immediate.close();
        self.in_turn.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_immediate_budget_is_bounded_and_a_dropped_permit_gives_its_bytes_back() {
        let budgets = ByteBudgets::new();
        let whole = budgets.try_acquire(usize::MAX).unwrap();
        assert_eq!(budgets.try_acquire(1).unwrap_err(), TryAcquireError::NoPermits);
        drop(whole);
        budgets.try_acquire(1).unwrap();
    }

    #[tokio::test]
    async fn callers_that_wait_take_nothing_from_callers_that_do_not() {
        let budgets = ByteBudgets::new();
        let _whole = budgets.acquire(usize::MAX).await.unwrap();
        budgets.try_acquire(IMMEDIATE_BYTES as usize).unwrap();
    }

    #[tokio::test]
    async fn a_closed_budget_refuses_every_caller() {
        let budgets = ByteBudgets::new();
        budgets.close();
        assert_eq!(budgets.try_acquire(1).unwrap_err(), TryAcquireError::Closed);
        assert!(budgets.acquire(1).await.is_err());
    }
}
