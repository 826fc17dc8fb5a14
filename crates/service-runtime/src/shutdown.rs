//! The signals that ask the process to end: SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal was
//! closed). Those that only quiet a worker are in `quieting.rs`.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

/// A signal that comes this soon after the first one is the same request: `timeout -s INT` sends
/// its signal to the process and to its group, and the end of a session sends SIGTERM and SIGHUP
/// together. Longer than these take on a busy machine, and shorter than a person needs to see that
/// the first Ctrl-C was not enough.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// A listener for the signals that ask the process to end. It is made before anything is started,
/// so that no signal is missed and none kills the process during the start.
#[derive(Debug)]
pub struct Termination {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    /// None where SIGHUP was ignored when the process began, as under `nohup`: the process is to
    /// outlive its terminal.
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    requests: Requests,
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
                hangup: if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) },
                requests: Requests::default(),
            })
        }
        #[cfg(not(unix))]
        {
            Ok(Self { requests: Requests::default() })
        }
    }

    /// The next signal, by name (SIGTERM, SIGINT or SIGHUP). Cancel safe.
    pub async fn signal(&mut self) -> &'static str {
        let name = self.next().await;
        self.requests.is_another(Instant::now());
        name
    }

    async fn next(&mut self) -> &'static str {
        #[cfg(unix)]
        {
            let hangup = async {
                match &mut self.hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = hangup => "SIGHUP",
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

    /// Waits for `stop`, but no longer than until a further request to end. A signal within a
    /// second of the first one is no further request; neither is the first signal of all, where the
    /// process ends for another reason.
    ///
    /// # Errors
    /// Where a further request came first.
    pub async fn unless_again<T>(
        &mut self,
        stop: impl Future<Output = T>,
    ) -> Result<T, EndedAtOnce> {
        let again = async {
            loop {
                let signal = self.next().await;
                if self.requests.is_another(Instant::now()) {
                    return;
                }
                tracing::info!(signal, "the process ends already; a later signal ends it at once");
            }
        };
        tokio::select! {
            stopped = stop => Ok(stopped),
            () = again => Err(EndedAtOnce),
        }
    }
}

/// The requests to end, told apart.
#[derive(Debug, Default)]
struct Requests {
    /// When the first signal came.
    first: Option<Instant>,
}

impl Requests {
    /// Notes a signal; true where it is not the same request as the first one.
    fn is_another(&mut self, now: Instant) -> bool {
        let first = *self.first.get_or_insert(now);
        now.saturating_duration_since(first) >= SAME_REQUEST
    }
}

/// Whether the process was started with SIGHUP ignored. Known on Linux alone, from the mask of
/// ignored signals in `/proc/self/status`; elsewhere SIGHUP is always heard.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| is_hangup_ignored(&status))
}

#[cfg(unix)]
fn is_hangup_ignored(status: &str) -> bool {
    /// Signal 1, SIGHUP, is the lowest bit.
    const HANGUP: u64 = 1;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & HANGUP != 0)
}

/// A second signal ended the process before its work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "ended at once by a second signal; a job that had not finished runs again when its reservation \
     ends"
)]
pub struct EndedAtOnce;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_within_a_second_of_the_first_is_the_same_request() {
        let (mut requests, begun) = (Requests::default(), Instant::now());
        let after = |milliseconds| begun + Duration::from_millis(milliseconds);
        for (at, is_another) in [(0, false), (2, false), (600, false), (999, false), (1000, true)] {
            assert_eq!(requests.is_another(after(at)), is_another, "{at} ms");
        }
    }

    #[test]
    fn the_mask_of_ignored_signals_says_whether_the_process_outlives_its_terminal() {
        for (status, expected) in [
            ("Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n", false),
            ("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n", true),
            ("SigIgn:\tnonsense\n", false),
            ("", false),
        ] {
            assert_eq!(is_hangup_ignored(status), expected, "{status}");
        }
    }
}
