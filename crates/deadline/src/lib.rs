#![doc = include_str!("../README.md")]

mod late_sleep;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;
pub use tokio::time::error::Elapsed;

pub use self::late_sleep::LateSleep;

/// The length of one turn: the resolution of Tokio's timers.
const TURN: Duration = Duration::from_millis(1);

/// Sleeps, one after another, that make up the last look.
///
/// Tokio's driver asks the system for the sockets that are ready, tells their tasks, and only then
/// fires timers. A process may be stopped between the question and the timers; so the first sleep
/// may end in a turn whose question was put before the stop. The second one begins after that, and
/// ends in a later turn, whose question was put after the first had begun: two sleeps are enough
/// for one socket and one task. There are more because one turn takes in 1,024 sockets at the most,
/// and because what arrived may pass through several tasks.
const TURNS: u8 = 16;

/// Waits until the I/O driver of this runtime has made full turns, each begun after this call:
/// until tasks that wait for sockets have seen what had arrived. Takes some 20 ms. Cancel safe.
pub async fn turns() {
    for _ in 0..TURNS {
        tokio::time::sleep(TURN).await;
    }
}

/// Awaits `work` for `limit`, and looks once more before giving it up. Cancel safe where `work` is.
///
/// # Errors
/// Where the work has not ended in time and nothing that ends it had arrived.
pub async fn timeout<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    let mut work = pin!(work);
    match tokio::time::timeout(limit, &mut work).await {
        Ok(output) => Ok(output),
        Err(_) => last_look(work).await,
    }
}

/// Awaits `work` until `deadline`, and looks once more before giving it up. Cancel safe where
/// `work` is.
///
/// # Errors
/// As [`timeout`] has.
pub async fn timeout_at<F: Future>(deadline: Instant, work: F) -> Result<F::Output, Elapsed> {
    let mut work = pin!(work);
    match tokio::time::timeout_at(deadline, &mut work).await {
        Ok(output) => Ok(output),
        Err(_) => last_look(work).await,
    }
}

/// Polls the work after each of the turns.
async fn last_look<F: Future + Unpin>(mut work: F) -> Result<F::Output, Elapsed> {
    for _ in 1..TURNS {
        // Polls the work first, and the timer after it.
        if let Ok(output) = tokio::time::timeout(TURN, &mut work).await {
            return Ok(output);
        }
    }
    tokio::time::timeout(TURN, work).await
}

#[cfg(test)]
mod tests;
