//! Connections of the faktory crate, which is the baseline.

use std::future::Future;

/// The number of attempts to connect.
const CONNECT_ATTEMPTS: usize = 5;

/// Connects the faktory crate, with several attempts. On a lossy link a lost handshake is sent
/// again later than the 2 s that a work server waits, and the crate itself tries only once. The
/// measured time begins after this.
pub(super) async fn connected<T, F>(mut connect: impl FnMut() -> F) -> Result<T, faktory::Error>
where
    F: Future<Output = Result<T, faktory::Error>>,
{
    for _ in 1..CONNECT_ATTEMPTS {
        if let Ok(connected) = connect().await {
            return Ok(connected);
        }
    }
    connect().await
}
