//! The signals to end.

use std::io;

/// Listens for the signals to end. Made before anything is started, so that no signal is missed or
/// kills the process on the way; asked twice, it tells of a second signal.
#[derive(Debug)]
pub struct Termination {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Termination {
    /// Begins to listen: from now on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// Where the system does not let us listen.
    pub fn listen() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            })
        }
        #[cfg(not(unix))]
        {
            Ok(Self {})
        }
    }

    /// The next signal, by name (SIGTERM or SIGINT). Cancel safe.
    pub async fn signal(&mut self) -> &'static str {
        #[cfg(unix)]
        {
            tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
            }
        }
        #[cfg(not(unix))]
        {
            match tokio::signal::ctrl_c().await {
                Ok(()) => "Ctrl-C",
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Waits for `stop`, but not beyond a second signal.
    ///
    /// # Errors
    /// Where a second signal came first.
    pub async fn unless_again<T>(
        &mut self,
        stop: impl Future<Output = T>,
    ) -> Result<T, EndedAtOnce> {
        tokio::select! {
            stopped = stop => Ok(stopped),
            _ = self.signal() => Err(EndedAtOnce),
        }
    }
}

/// A second signal ended the process before it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "ended at once by a second signal; what had not finished runs again when its reservation ends"
)]
pub struct EndedAtOnce;
