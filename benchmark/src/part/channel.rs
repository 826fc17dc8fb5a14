//! The channel between the benchmark and a part: commands in, events out, as lines of JSON.

use std::io::{BufRead, Write};

use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::order::Event;

/// The most commands that wait to be read.
const COMMANDS: usize = 16;

/// The commands to a part, line by line.
pub(crate) struct Channel {
    lines: mpsc::Receiver<String>,
}

impl Channel {
    /// Opens the channel: a thread reads standard input from now on.
    pub(crate) fn open() -> Self {
        let (sender, lines) = mpsc::channel(COMMANDS);
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { break };
                if sender.blocking_send(line).is_err() {
                    break;
                }
            }
        });
        Self { lines }
    }

    /// The next command; `None` when the benchmark has ended or wants this part to end, and for a
    /// line that can't be understood.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        let line = self.lines.recv().await?;
        match serde_json::from_str(&line) {
            Ok(command) => Some(command),
            Err(error) => {
                Self::say(&Event::Failed(format!("failed to understand {line:?}: {error}")));
                None
            }
        }
    }

    /// Resolves when the benchmark wants this part to end.
    pub(crate) async fn end(&mut self) {
        while self.lines.recv().await.is_some() {}
    }

    /// Sends an event to the benchmark.
    pub(crate) fn say(event: &Event) {
        let Ok(mut line) = serde_json::to_vec(event) else { return };
        line.push(b'\n');
        let mut out = std::io::stdout().lock();
        // An error means that the benchmark has ended; the end of the input shows this too.
        let _ = out.write_all(&line).and_then(|()| out.flush());
    }
}
