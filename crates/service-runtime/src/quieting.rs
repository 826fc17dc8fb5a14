//! The signals that quiet a worker: it fetches no more, finishes what it has, and stays. TSTP and
//! TTIN, as with Sidekiq and Faktory's own workers.

use std::fmt;
use std::io::{self, IsTerminal};
use std::str::FromStr;

/// The signals that quiet a worker, as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuietSignals {
    /// TTIN, and TSTP where the process has no terminal: there, TSTP is what Ctrl-Z sends, and
    /// stops the process.
    Auto,
    /// These, whatever terminal there is.
    Named {
        /// SIGTSTP.
        tstp: bool,
        /// SIGTTIN.
        ttin: bool,
    },
}

impl QuietSignals {
    /// None of the signals.
    pub const NONE: Self = Self::Named { tstp: false, ttin: false };

    /// TSTP and TTIN, whether each quiets the worker.
    #[cfg(unix)]
    fn in_effect(self, has_terminal: bool) -> (bool, bool) {
        match self {
            Self::Auto => (!has_terminal, true),
            Self::Named { tstp, ttin } => (tstp, ttin),
        }
    }
}

impl FromStr for QuietSignals {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut tstp, mut ttin) = (false, false);
        match text {
            "auto" => return Ok(Self::Auto),
            "none" => return Ok(Self::NONE),
            _ => {}
        }
        for name in text.split(',') {
            match name.trim().trim_start_matches("SIG") {
                "TSTP" => tstp = true,
                "TTIN" => ttin = true,
                _ => return Err("auto, none, TSTP, TTIN or TSTP,TTIN".into()),
            }
        }
        Ok(Self::Named { tstp, ttin })
    }
}

impl fmt::Display for QuietSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Named { tstp: true, ttin: true } => "TSTP,TTIN",
            Self::Named { tstp: true, ttin: false } => "TSTP",
            Self::Named { tstp: false, ttin: true } => "TTIN",
            Self::Named { tstp: false, ttin: false } => "none",
        })
    }
}

/// A listener for the signals that quiet a worker.
#[derive(Debug)]
pub struct Quieting {
    #[cfg(unix)]
    tstp: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    ttin: Option<tokio::signal::unix::Signal>,
}

impl Quieting {
    /// Begins to listen for these signals: from now on they no longer stop the process.
    ///
    /// # Errors
    /// Where the system refuses the listener.
    pub fn listen(signals: QuietSignals) -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            // The numbers differ between systems.
            let named = |wanted: bool, name: nix::sys::signal::Signal| {
                wanted.then(|| signal(SignalKind::from_raw(name as i32))).transpose()
            };
            let (tstp, ttin) = signals.in_effect(has_terminal());
            Ok(Self {
                tstp: named(tstp, nix::sys::signal::Signal::SIGTSTP)?,
                ttin: named(ttin, nix::sys::signal::Signal::SIGTTIN)?,
            })
        }
        #[cfg(not(unix))]
        {
            let _ = signals;
            Ok(Self {})
        }
    }

    /// The next signal, by name (SIGTSTP or SIGTTIN); never where none is listened for. Cancel
    /// safe.
    pub async fn signal(&mut self) -> &'static str {
        #[cfg(unix)]
        {
            async fn next(signal: &mut Option<tokio::signal::unix::Signal>) {
                match signal {
                    Some(signal) => drop(signal.recv().await),
                    None => std::future::pending().await,
                }
            }
            tokio::select! {
                () = next(&mut self.tstp) => "SIGTSTP",
                () = next(&mut self.ttin) => "SIGTTIN",
            }
        }
        #[cfg(not(unix))]
        std::future::pending().await
    }
}

/// Whether one of the three standard streams is a terminal, so that Ctrl-Z may be meant.
#[cfg(unix)]
fn has_terminal() -> bool {
    io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_named_as_people_name_them() {
        for (text, shown) in [
            ("auto", "auto"),
            ("none", "none"),
            ("TSTP", "TSTP"),
            ("SIGTTIN", "TTIN"),
            ("TTIN, SIGTSTP", "TSTP,TTIN"),
        ] {
            let signals: QuietSignals = text.parse().unwrap();
            assert_eq!(signals.to_string(), shown);
            assert_eq!(shown.parse(), Ok(signals), "what the log shows is accepted");
        }
        for text in ["", "HUP", "TSTP,none", "tstp"] {
            assert!(text.parse::<QuietSignals>().unwrap_err().contains("TSTP,TTIN"), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn ctrl_z_stops_a_worker_in_a_terminal_unless_the_signal_is_named() {
        let named = QuietSignals::Named { tstp: true, ttin: false };
        for (signals, has_terminal, expected) in [
            (QuietSignals::Auto, true, (false, true)),
            (QuietSignals::Auto, false, (true, true)),
            (named, true, (true, false)),
        ] {
            assert_eq!(signals.in_effect(has_terminal), expected, "{signals} {has_terminal}");
        }
    }
}
