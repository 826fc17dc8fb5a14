//! The work server as a state machine: commands and time go in, replies come out, and changes go
//! through a [`Store`]. There are no sockets, no clocks, and no randomness but from a seed. Nothing
//! in memory grows with the number of jobs: a queue keeps a short buffer of its next jobs, and
//! everything else is read from the store when it is needed.
//!
//! Here: the state, and the events of connections. A verb has its file (`push.rs`, `once.rs` for WF
//! PUSHB, `fetch.rs`, `finish.rs` for ACK and FAIL, `ack_many.rs`, `requeue.rs`, `mutate.rs`,
//! `queue_command.rs`, `flush.rs`, `info.rs`); what happens by itself is in `advance.rs`.

mod ack_many;
mod advance;
mod backoff;
mod connections;
mod edit;
mod enqueue;
mod execute;
mod fetch;
mod finish;
mod flush;
mod glob;
mod index;
mod info;
mod keys;
mod member;
mod mend;
mod mutate;
mod once;
mod open;
mod output;
mod push;
mod queue_command;
mod queues;
mod records;
mod refusals;
mod remembered;
mod replies;
mod requeue;
mod reservations;
mod returned;
mod select;
mod sets;
mod survey;
mod tasks;
#[cfg(test)]
mod tests;
mod waiting;
mod work;
mod workers;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use faktory_wire::{BrokerCounts, Command, CommandError, Hello, Reply, Timestamp};

use crate::store::{Store, StoreError};
use connections::{Connections, State};
use info::Infos;
pub(crate) use mend::Gathered;
pub use mend::Mended;
pub use output::{Output, Reservation};
use queues::Queues;
use records::Counters;
use remembered::Remembered;
pub use remembered::{IdLimits, RememberedIds};
use replies::Replies;
use reservations::{LeftBehind, ReservationClock};
use returned::Returned;
use sets::Timers;
pub(crate) use survey::Survey;
pub use survey::Tables;
use tasks::Tasks;
use waiting::Waiting;
use work::Work;
use workers::Workers;

/// The id of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The time, which the caller tells the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock: for what users give or see as a time of day, such as `at`, the times of
    /// retries, and the records of failures. The clock may be set, forward or back, at any time.
    pub wall: Timestamp,
    /// The time since the start of the server: for waits, heartbeats and reservations. This clock
    /// never goes back.
    pub monotonic: Duration,
}

/// The most entries of a set, or of a removed queue, that are read at once. An entry can have
/// 52 KB, with its failure record.
const READ_MAX: usize = 32;

/// The work server's state and rules.
pub struct Machine {
    counters: Counters,
    queues: Queues,
    connections: Connections,
    workers: Workers,
    waiting: Waiting,
    timers: Timers,
    reservation_clock: ReservationClock,
    left_behind: LeftBehind,
    /// Commands that are carried out in slices.
    tasks: Tasks,
    infos: Infos,
    returned: Returned,
    remembered: Remembered,
    /// Removed queues whose jobs are still to be deleted.
    trash: VecDeque<queues::Trash>,
    /// Connections that may have a command to run.
    runnable: VecDeque<ConnectionId>,
    /// Queues whose jobs are to be handed to the FETCHes that wait for them.
    to_serve: VecDeque<u32>,
    replies: Replies,
    /// The work of the current slice.
    work: Work,
    outputs: Vec<Output>,
    /// The body of the job that is taken in.
    json: Vec<u8>,
    counts: info::TaskCounts,
    random: fastrand::Rng,
    used_memory_mb: u64,
    broker_counts: Option<BrokerCounts>,
    disk_is_full: bool,
    refused_pushes: u64,
    shutting_down: bool,
    /// True where something was written since the last sync that an answer promises.
    unsynced: bool,
    /// The queues whose records are to be written; `None` where nothing was written since
    /// [`Machine::settle`].
    touched: Option<BTreeSet<u32>>,
}

impl Machine {
    /// Opens a connection for a client that said HELLO. A `wid` makes the connection one of that
    /// worker.
    pub fn connect(&mut self, now: Now, connection: ConnectionId, hello: &Hello) {
        let wid = hello.wid.clone().filter(|wid| !wid.is_empty());
        if let Some(wid) = &wid {
            self.workers.join(wid, connection, now);
        }
        self.connections.open(connection, wid, hello.wf.is_some_and(|wf| wf >= 1));
    }

    /// Takes a line in: a command, or the reason why the line is no command. A command is carried
    /// out after all earlier commands of its connection.
    ///
    /// # Errors
    /// Where the store fails; the machine can't be used any more.
    pub fn submit(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        request: Result<Command, CommandError>,
    ) -> Result<(), StoreError> {
        self.counts.commands += 1;
        self.work.begin();
        self.connections.queue(connection, request);
        self.make_runnable(connection);
        self.run(store, now)
    }

    /// Notes that a client sends nothing more. Its earlier commands are carried out, but its
    /// FETCHes are answered without a job.
    ///
    /// # Errors
    /// Where the store fails; the machine can't be used any more.
    pub fn input_ended(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
    ) -> Result<(), StoreError> {
        self.work.begin();
        if let Some(ticket) = self.connections.end_input(connection) {
            self.waiting.remove(ticket);
            self.answer_fetch(connection, Reply::Nothing, Vec::new());
            self.unblock(connection);
        }
        self.make_runnable(connection);
        self.run(store, now)
    }

    /// Removes a connection that has ended. Its undelivered jobs return to the front of their
    /// queues.
    ///
    /// # Errors
    /// Where the store fails; the machine can't be used any more.
    pub fn disconnect(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        undelivered: &[Reservation],
    ) -> Result<(), StoreError> {
        if let Some(gone) = self.connections.close(connection) {
            match gone.state {
                State::Fetching(ticket) => drop(self.waiting.remove(ticket)),
                // A connection that was closed may have been busy before.
                State::Busy | State::Closed => {
                    self.tasks.forget(connection);
                    self.infos.forget(connection);
                }
                State::Idle => {}
            }
            self.forget_replies(connection, &gone.replies);
            if let Some(wid) = gone.wid {
                self.workers.leave(&wid, connection);
            }
        }
        self.undeliverable(store, now, undelivered)
    }

    /// Puts jobs back at the front of their queues, because the replies that hold them could not be
    /// delivered.
    ///
    /// # Errors
    /// Where the store fails; the machine can't be used any more.
    pub fn undeliverable(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        reservations: &[Reservation],
    ) -> Result<(), StoreError> {
        self.work.begin();
        self.return_undelivered(store, now, reservations)?;
        self.run(store, now)
    }

    /// Ends every connection. A FETCH that waits and a command that is not finished are answered
    /// with an error, and later commands are dropped. Earlier answers are still sent.
    pub fn shut_down(&mut self) {
        self.shutting_down = true;
        for connection in self.connections.ids() {
            match self.connections.state(connection) {
                Some(State::Fetching(ticket)) => {
                    self.waiting.remove(ticket);
                    self.answer_fetch(connection, Reply::error("shutdown in progress"), Vec::new());
                }
                Some(State::Busy) => {
                    let reply = self.unfinished(connection);
                    self.answer(connection, reply);
                }
                Some(State::Idle | State::Closed) | None => {}
            }
            self.close(connection);
        }
        self.tasks.clear();
        self.infos.clear();
    }

    /// Takes the orders that have been given since the last call, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// True where the store must be synced before the answers that wait for a sync may go out. The
    /// call resets the mark.
    pub fn take_unsynced(&mut self) -> bool {
        std::mem::take(&mut self.unsynced)
    }

    /// Tells the machine the memory of its process, for INFO.
    pub fn set_used_memory_mb(&mut self, megabytes: u64) {
        self.used_memory_mb = megabytes;
    }

    /// Tells the machine whether there is room for more jobs. Where there is none, pushes are
    /// refused; all other commands are carried out.
    pub fn set_disk_full(&mut self, is_full: bool) {
        self.disk_is_full = is_full;
    }

    /// True where a PUSHB goes on with a job of a megabyte or more.
    #[must_use]
    pub fn has_long_job(&self) -> bool {
        self.tasks.has_long_job()
    }

    /// Lets such jobs wait, or no longer; all else goes on.
    pub const fn let_long_jobs_wait(&mut self, wait: bool) {
        self.tasks.let_long_jobs_wait(wait);
    }

    /// Remembers the ids of jobs that are pushed to be stored once, within these limits. A machine
    /// that was not told so remembers none.
    pub const fn remember_ids(&mut self, limits: IdLimits) {
        self.remembered.set_limits(limits);
    }

    /// What is known of the remembered ids.
    #[must_use]
    pub fn remembered_ids(&self, now: Now) -> RememberedIds {
        self.remembered.figures(now.wall)
    }

    /// The pushes that were refused since the last call, because the disk is full.
    pub const fn take_refused_pushes(&mut self) -> u64 {
        std::mem::replace(&mut self.refused_pushes, 0)
    }

    /// Tells the machine what the server around it has turned away, for INFO.
    pub const fn set_broker_counts(&mut self, counts: BrokerCounts) {
        self.broker_counts = Some(counts);
    }
}
