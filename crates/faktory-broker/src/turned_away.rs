//! What a broker turns away: counts since its start, and lines in the log, which are bounded
//! because anybody can bring any number of them about.

#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use admission::{BoundedLog, Failures, PlaceLimits, Refusal};
use faktory_wire::{BrokerCounts, CommandsRefused, ConnectionsTurnedAway};

use crate::budget::Budget;
use crate::config::BrokerConfig;
use crate::machine::RememberedIds;
use crate::observer::Observer;
use crate::store::SetAside;

/// The shortest time between two lines about connections that are turned away or fail.
const CONNECTIONS_EVERY: Duration = Duration::from_secs(60);
/// The shortest time between two lines about commands that are refused for want of memory.
const COMMANDS_EVERY: Duration = Duration::from_secs(10);

/// The variable that bounds the memory of commands that arrive, as clients and operators are told.
pub(crate) const MEMORY_VARIABLE: &str = "BROKER_MAX_INPUT_BYTES";

/// What a broker has turned away since its start: connections, passwords and commands.
pub struct TurnedAway {
    limits: PlaceLimits,
    observer: Option<Arc<dyn Observer>>,
    made_room: AtomicU64,
    refused: AtomicU64,
    wrong_passwords: AtomicU64,
    arriving_commands: AtomicU64,
    unanswered_commands: AtomicU64,
    pushes_refused: AtomicU64,
    disk_free: AtomicU64,
    bad_blocks: AtomicU64,
    files_set_aside: AtomicU64,
    remembered: Mutex<RememberedIds>,
    failures: Failures,
    logs: Mutex<Logs>,
}

struct Logs {
    made_room: BoundedLog,
    refused: BoundedLog,
    failed: BoundedLog,
    bad_tls: BoundedLog,
    arriving_commands: BoundedLog,
    unanswered_commands: BoundedLog,
}

impl TurnedAway {
    /// Connections that were closed before their HELLO was accepted, to make room for new ones.
    #[must_use]
    pub fn made_room(&self) -> u64 {
        self.made_room.load(Ordering::Relaxed)
    }

    /// Connections that were refused because every place belonged to a client whose HELLO had been
    /// accepted.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Clients that did not know the password.
    #[must_use]
    pub fn wrong_passwords(&self) -> u64 {
        self.wrong_passwords.load(Ordering::Relaxed)
    }

    /// Commands that were refused before they had arrived as a whole, because no memory for
    /// arriving commands was free in time, or they came too slowly for what they held of it. Their
    /// connections were ended.
    #[must_use]
    pub fn arriving_commands(&self) -> u64 {
        self.arriving_commands.load(Ordering::Relaxed)
    }

    /// Commands that had arrived and were refused, because the memory for unanswered commands was
    /// not free in time.
    #[must_use]
    pub fn unanswered_commands(&self) -> u64 {
        self.unanswered_commands.load(Ordering::Relaxed)
    }

    pub(crate) fn new(config: &BrokerConfig) -> Self {
        let of_connections = || BoundedLog::new(CONNECTIONS_EVERY);
        let of_commands = || BoundedLog::new(COMMANDS_EVERY);
        Self {
            limits: PlaceLimits::of_total(config.max_connections),
            observer: config.observer.clone(),
            made_room: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            wrong_passwords: AtomicU64::new(0),
            arriving_commands: AtomicU64::new(0),
            unanswered_commands: AtomicU64::new(0),
            pushes_refused: AtomicU64::new(0),
            disk_free: AtomicU64::new(0),
            bad_blocks: AtomicU64::new(0),
            files_set_aside: AtomicU64::new(0),
            remembered: Mutex::default(),
            failures: Failures::default(),
            logs: Mutex::new(Logs {
                made_room: of_connections(),
                refused: of_connections(),
                failed: of_connections(),
                bad_tls: of_connections(),
                arriving_commands: of_commands(),
                unanswered_commands: of_commands(),
            }),
        }
    }

    /// All counts, as INFO tells them.
    pub(crate) fn counts(&self) -> BrokerCounts {
        let remembered = *self.remembered();
        BrokerCounts {
            wrong_passwords: self.wrong_passwords(),
            connections_turned_away: ConnectionsTurnedAway {
                made_room: self.made_room(),
                too_many: self.refused(),
            },
            commands_refused: CommandsRefused {
                arriving: self.arriving_commands(),
                unanswered: self.unanswered_commands(),
            },
            pushes_refused: self.pushes_refused(),
            disk_free: self.disk_free.load(Ordering::Relaxed),
            bad_blocks: self.bad_blocks.load(Ordering::Relaxed),
            files_set_aside: self.files_set_aside.load(Ordering::Relaxed),
            remembered_ids: remembered.count,
            dedup_window: remembered.window.into(),
            duplicates: remembered.duplicates,
        }
    }

    fn remembered(&self) -> MutexGuard<'_, RememberedIds> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note_remembered(&self, now: RememberedIds) {
        let before = std::mem::replace(&mut *self.remembered(), now);
        if let Some(observer) = &self.observer {
            observer.remembered_ids(now, now.duplicates.saturating_sub(before.duplicates));
        }
    }

    /// Pushes that were refused, because the disk was nearly full.
    #[must_use]
    pub fn pushes_refused(&self) -> u64 {
        self.pushes_refused.load(Ordering::Relaxed)
    }

    pub(crate) fn note_pushes_refused(&self, count: u64) {
        self.pushes_refused.fetch_add(count, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer.pushes_refused(count);
        }
    }

    pub(crate) fn note_disk_free(&self, bytes: u64) {
        self.disk_free.store(bytes, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer.disk_free(bytes);
        }
    }

    pub(crate) fn note_set_aside(&self, found: SetAside) {
        self.bad_blocks.store(found.blocks, Ordering::Relaxed);
        self.files_set_aside.store(found.files, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer.set_aside(found);
        }
    }

    pub(crate) fn note_made_room(&self) {
        self.count(&self.made_room, |observer| observer.connection_made_room());
        let due = self.logs().made_room.note(now());
        self.log_made_room(due);
    }

    fn log_made_room(&self, due: Option<u64>) {
        let Some(count) = due else { return };
        let at_most = self.limits.strangers;
        tracing::warn!(
            count,
            at_most,
            "closed connections before their HELLO, to make room for new ones"
        );
    }

    pub(crate) fn note_refused(&self) {
        self.count(&self.refused, |observer| observer.connection_refused());
        let due = self.logs().refused.note(now());
        self.log_refused(due);
    }

    fn log_refused(&self, due: Option<u64>) {
        let Some(count) = due else { return };
        let at_most = self.limits.total;
        tracing::warn!(count, at_most, "refused connections: there are too many");
    }

    /// Notes that a connection could not be accepted.
    pub(crate) fn note_failed(&self, error: &std::io::Error) {
        let due = self.logs().failed.note(now());
        if let Some(count) = due {
            tracing::warn!(%error, count, "failed to accept a connection");
        }
    }

    /// Notes that a client failed to agree on TLS; the words are asked for where they are logged.
    pub(crate) fn note_bad_tls<E: Display>(&self, words: impl FnOnce() -> (String, E)) {
        let due = self.logs().bad_tls.note(now());
        if let Some(count) = due {
            let (client, error) = words();
            tracing::info!(client, %error, count, "a client failed to agree on TLS");
        }
    }

    /// Notes a wrong password. The refusal says how long it is to wait.
    pub(crate) fn note_wrong_password(&self, client: IpAddr) -> Refusal {
        self.count(&self.wrong_passwords, |observer| observer.wrong_password());
        let refusal = self.failures.note(client, now());
        if let Some(count) = refusal.report {
            tracing::warn!(
                %client,
                count,
                "a client does not know the password; count: such refusals of all clients since \
                 the last line"
            );
        }
        refusal
    }

    /// Notes that a client was refused, and disconnected, for want of memory to read its command.
    pub(crate) fn note_arriving_command(&self, budget: &Budget) {
        self.count(&self.arriving_commands, |observer| observer.arriving_command_refused());
        let due = self.logs().arriving_commands.note(now());
        log_arriving_commands(due, budget);
    }

    /// Notes that a command which had arrived was refused for want of memory.
    pub(crate) fn note_unanswered_command(&self) {
        self.count(&self.unanswered_commands, |observer| observer.unanswered_command_refused());
        let due = self.logs().unanswered_commands.note(now());
        log_unanswered_commands(due);
    }

    /// Logs the counts that no line has told and whose interval has ended. To be called about once
    /// a second.
    pub(crate) fn log_due(&self, budget: &Budget) {
        let now = now();
        let mut logs = self.logs();
        let [made_room, refused] = [logs.made_room.due(now), logs.refused.due(now)];
        let [failed, bad_tls] = [logs.failed.due(now), logs.bad_tls.due(now)];
        let arriving = logs.arriving_commands.due(now);
        let unanswered = logs.unanswered_commands.due(now);
        drop(logs);
        self.log_made_room(made_room);
        self.log_refused(refused);
        if let Some(count) = failed {
            tracing::warn!(count, "failed to accept connections");
        }
        if let Some(count) = bad_tls {
            tracing::info!(count, "clients failed to agree on TLS");
        }
        if let Some(count) = self.failures.due(now) {
            tracing::warn!(
                count,
                "clients do not know the password; count: such refusals since the last line"
            );
        }
        log_arriving_commands(arriving, budget);
        log_unanswered_commands(unanswered);
    }

    fn count(&self, counter: &AtomicU64, tell: impl FnOnce(&dyn Observer)) {
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            tell(&**observer);
        }
    }

    fn logs(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_arriving_commands(due: Option<u64>, budget: &Budget) {
    let Some(count) = due else { return };
    tracing::warn!(
        count,
        waiting = budget.waiting(),
        used_bytes = budget.used(),
        "clients were refused and disconnected, because all of {MEMORY_VARIABLE} was in use"
    );
}

fn log_unanswered_commands(due: Option<u64>) {
    let Some(count) = due else { return };
    tracing::warn!(count, "commands were refused: the memory for unanswered ones was in use");
}

/// The time by the runtime's clock, which tests may set.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
