//! A part as the benchmark sees it: a child process that takes orders and reports events.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;

use crate::distance::{Distance, Side};
use crate::part::order::{Event, Order};

/// The number of a part's last log lines that are kept, for the message of its failure.
const LOG_LINES: usize = 30;
/// The time that a part gets to end.
const END_WITHIN: Duration = Duration::from_secs(20);
/// The time between two looks whether a child has ended.
const LOOK: Duration = Duration::from_millis(5);

/// A running part. When this value is dropped, the part is told to end, and killed if it does not.
pub(crate) struct Part {
    name: &'static str,
    child: Child,
    orders: Option<ChildStdin>,
    events: Receiver<Event>,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Part {
    /// Starts a part on one side of the distance.
    pub(crate) fn start(distance: &Distance, side: Side, order: &Order) -> anyhow::Result<Self> {
        let name = order.name();
        let mut command =
            Command::new(std::env::current_exe().context("failed to find this program")?);
        command.arg("part").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // The variables of the user's environment must not change the measurement.
        for variable in service_runtime::variables() {
            command.env_remove(variable.name);
        }
        // A log line for every job would be measured too.
        command.env("RUST_LOG", "warn").envs(order.variables().into_iter().flatten());
        let mut child =
            distance.spawn(side, command).with_context(|| format!("failed to start the {name}"))?;
        let (sender, events) = channel();
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    // A line that a library prints is no event.
                    let Ok(event) = serde_json::from_str(&line) else { continue };
                    if sender.send(event).is_err() {
                        break;
                    }
                }
            });
        }
        let log = keep_log(&mut child);
        let orders = child.stdin.take();
        let mut part = Self { name, child, orders, events, log };
        part.tell(order)?;
        Ok(part)
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends one command.
    pub(crate) fn tell(&mut self, command: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        let sent = self
            .orders
            .as_mut()
            .map(|orders| orders.write_all(&line).and_then(|()| orders.flush()));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => bail!("the {} has ended: {}", self.name, self.last_words()),
        }
    }

    /// The next event. An error where the part fails, ends, or reports nothing for this time.
    pub(crate) fn next(&self, timeout: Duration) -> anyhow::Result<Event> {
        match self.events.recv_timeout(timeout) {
            Ok(Event::Failed(why)) => bail!("the {} failed: {why}", self.name),
            Ok(event) => Ok(event),
            Err(RecvTimeoutError::Timeout) => {
                bail!("the {} said nothing for {timeout:?}: {}", self.name, self.last_words())
            }
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the {} has ended: {}", self.name, self.last_words())
            }
        }
    }

    /// Kills the part. For a part that need not end in order.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
    }

    /// Tells the part to end by SIGTERM, as a system does.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.child.id())?);
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM)
            .with_context(|| format!("failed to end the {}", self.name))
    }

    /// Whether the part has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until the part has ended; false where it has not ended in this time.
    pub(crate) fn ended_within(&mut self, within: Duration) -> bool {
        let give_up = Instant::now() + within;
        while !self.has_ended() {
            if Instant::now() > give_up {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    /// The error for an event that is not expected now.
    pub(crate) fn unexpected<T>(&self, event: &Event) -> anyhow::Result<T> {
        bail!("the {} said {event:?} out of turn", self.name)
    }

    fn last_words(&self) -> String {
        self.log
            .lock()
            .map(|log| log.iter().cloned().collect::<Vec<_>>().join("\n"))
            .unwrap_or_default()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.orders = None;
        end(&mut self.child, END_WITHIN);
    }
}

/// Keeps the last lines of a child's standard error.
fn keep_log(child: &mut Child) -> Arc<Mutex<VecDeque<String>>> {
    let log = Arc::new(Mutex::new(VecDeque::new()));
    if let Some(errors) = child.stderr.take() {
        let log = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                if let Ok(mut log) = log.lock() {
                    if log.len() == LOG_LINES {
                        log.pop_front();
                    }
                    log.push_back(line);
                }
            }
        });
    }
    log
}

/// Waits for a child that was told to end, and kills the child if it does not end in time.
fn end(child: &mut Child, within: Duration) {
    let give_up = Instant::now() + within;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > give_up {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(LOOK);
    }
}
