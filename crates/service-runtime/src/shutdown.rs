//! The signals that ask the process to end: SIGTERM, and SIGINT (Ctrl-C).

use std::io;

/// A listener for the signals that ask the process to end. It is made before anything is started,
/// so that no signal is missed and none kills the process during the start.
#[derive(Debug)]
pub struct Termination {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Termination {
    /// Begins to listen: from now on a signal no longer kills the process.
    ///
    /// # Errors
    /// Where the system refuses the listener.
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

    /// Waits for `stop`, but no longer than until the next signal.
    ///
    /// # Errors
    /// Where the next signal came first.
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

/// A second signal ended the process before its work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "ended at once by a second signal; a job that had not finished runs again when its reservation \
     ends"
)]
pub struct EndedAtOnce;
