//! What the work server does: commands and time in, replies out, changes through a [`Store`]. No
//! sockets, no clocks, no randomness but from a seed. Nothing here grows with the number of jobs:
//! queues keep a short buffer of their next jobs, everything else is read from the store when it is
//! needed.

mod backoff;
mod connections;
mod edit;
mod fetch;
mod finish;
mod given_back;
mod glob;
mod info;
mod keys;
mod mutate;
mod push;
mod queue_ops;
mod queues;
mod records;
mod sets;
#[cfg(test)]
mod tests;
mod waiting;
mod workers;

use std::collections::VecDeque;
use std::time::Duration;

use faktory_wire::{Command, CommandError, Hello, Reply, Timestamp};

use crate::store::{Batch, Store, StoreError, Table};
use connections::{Connections, State};
use edit::Edit;
use given_back::GivenBack;
use keys::{Place, Slot};
use mutate::Mutating;
use queues::Queues;
use records::Counters;
use sets::Timers;
use waiting::Waiting;
use workers::Workers;

/// One client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The time, as the machine is told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For what is due or expires; may be set.
    pub wall: Timestamp,
    /// For waits; never goes back. Counts from the start of the server.
    pub monotonic: Duration,
}

/// A job in a reply, by which it can be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reservation {
    slot: Slot,
    /// The reply was on its way when the connection ended: nobody knows whether it arrived.
    may_have_arrived: bool,
}

impl Reservation {
    /// The same for a reply that may have arrived after all.
    pub(crate) const fn perhaps_arrived(self) -> Self {
        Self { may_have_arrived: true, ..self }
    }
}

/// What the machine wants said or done on a connection. Replies of one connection stand in the
/// order of its commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Reply {
        /// To whom.
        connection: ConnectionId,
        /// What.
        reply: Reply,
        /// The job in it, where it is a fetched one.
        reservation: Option<Reservation>,
        /// True where it may go out only after the next sync; a FETCH's need not wait.
        after_sync: bool,
    },
    /// End the connection when everything before has been sent.
    Close {
        /// Whose.
        connection: ConnectionId,
    },
}

/// Jobs or entries that one step of background work touches, so that commands never wait long.
const CHUNK: usize = 200;

/// The work server's state and rules.
pub struct Machine {
    counters: Counters,
    queues: Queues,
    connections: Connections,
    workers: Workers,
    waiting: Waiting,
    timers: Timers,
    mutations: VecDeque<Mutating>,
    /// Jobs in queues again that may be running somewhere.
    given_back: GivenBack,
    /// Removed queues whose jobs are still to be deleted.
    trash: VecDeque<queues::Trash>,
    /// Connections that may have a command to run.
    runnable: VecDeque<ConnectionId>,
    outputs: Vec<Output>,
    tasks: info::Tasks,
    random: fastrand::Rng,
    used_memory_mb: u64,
    shutting_down: bool,
    /// True where something was written since the last sync that an answer promises.
    unsynced: bool,
}

impl Machine {
    /// Reads the state out of a store, or makes it in an empty one. `seed` is for the jitter of
    /// retries, `max_queues` bounds what clients can create.
    ///
    /// # Errors
    /// Where the store fails or holds another format.
    pub fn open(store: &mut dyn Store, seed: u64, max_queues: usize) -> Result<Self, StoreError> {
        match store.get(Table::Meta, keys::FORMAT_KEY)? {
            None => {
                let mut batch = Batch::default();
                batch.put(Table::Meta, keys::FORMAT_KEY, keys::FORMAT.to_be_bytes());
                store.write(batch)?;
                store.sync()?;
            }
            Some(found) if found == keys::FORMAT.to_be_bytes() => {}
            Some(found) => {
                let found = <[u8; 4]>::try_from(found.as_slice()).map_or_else(
                    |_| "unknown".into(),
                    |bytes| u32::from_be_bytes(bytes).to_string(),
                );
                return Err(StoreError::Format { found, expected: keys::FORMAT });
            }
        }
        if store.get(Table::Meta, keys::FLUSHING_KEY)?.is_some() {
            // A crash came between the steps of a FLUSH: it is finished first.
            queue_ops::empty(store)?;
        }
        let counters = store.get(Table::Meta, keys::COUNTERS_KEY)?;
        let counters =
            counters.map_or_else(|| Ok(Counters::default()), |bytes| Counters::decode(&bytes))?;
        let mut machine = Self {
            counters,
            queues: Queues::load(store, max_queues)?,
            connections: Connections::default(),
            workers: Workers::default(),
            waiting: Waiting::default(),
            timers: Timers::default(),
            mutations: VecDeque::new(),
            given_back: GivenBack::default(),
            trash: queues::load_trash(store)?,
            runnable: VecDeque::new(),
            outputs: Vec::new(),
            tasks: info::Tasks::default(),
            random: fastrand::Rng::with_seed(seed),
            used_memory_mb: 0,
            shutting_down: false,
            unsynced: false,
        };
        for place in Place::ALL {
            machine.find_first(store, place)?;
        }
        Ok(machine)
    }

    /// A client said HELLO; a `wid` makes it a connection of that worker.
    pub fn connect(&mut self, now: Now, connection: ConnectionId, hello: &Hello) {
        let wid = hello.wid.clone().filter(|wid| !wid.is_empty());
        if let Some(wid) = &wid {
            self.workers.join(wid, connection, now);
        }
        self.connections.open(connection, wid);
    }

    /// A line came in: a command, or what is wrong with it. It is carried out after those before
    /// it.
    ///
    /// # Errors
    /// Where the store fails; the machine is then of no more use.
    pub fn submit(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        request: Result<Command, CommandError>,
    ) -> Result<(), StoreError> {
        self.tasks.commands += 1;
        self.connections.queue(connection, request);
        self.runnable.push_back(connection);
        self.run(store, now)
    }

    /// The client sends nothing more. What it sent is carried out, but its FETCHes are answered
    /// without a job.
    ///
    /// # Errors
    /// Where the store fails; the machine is then of no more use.
    pub fn input_ended(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
    ) -> Result<(), StoreError> {
        if let Some(ticket) = self.connections.end_input(connection) {
            self.waiting.remove(ticket);
            self.answer_fetch(connection, Reply::Nothing, None);
            self.unblock(connection);
        }
        self.runnable.push_back(connection);
        self.run(store, now)
    }

    /// The connection is gone; these jobs never reached the client and go back to the front of
    /// their queues.
    ///
    /// # Errors
    /// Where the store fails; the machine is then of no more use.
    pub fn disconnect(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        undelivered: &[Reservation],
    ) -> Result<(), StoreError> {
        if let Some(gone) = self.connections.close(connection) {
            if let State::Fetching(ticket) = gone.state {
                self.waiting.remove(ticket);
            }
            if let Some(wid) = gone.wid {
                self.workers.leave(&wid, connection);
            }
        }
        self.give_back(store, now, undelivered)?;
        self.run(store, now)
    }

    /// The connections were gone before these replies came to them: their jobs go back to the front
    /// of their queues.
    ///
    /// # Errors
    /// Where the store fails; the machine is then of no more use.
    pub fn undeliverable(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        reservations: &[Reservation],
    ) -> Result<(), StoreError> {
        self.give_back(store, now, reservations)?;
        self.run(store, now)
    }

    /// Ends every connection: what waits is told, what has been answered is still sent.
    pub fn shut_down(&mut self) {
        self.shutting_down = true;
        for connection in self.connections.ids() {
            match self.connections.state(connection) {
                Some(State::Fetching(ticket)) => {
                    self.waiting.remove(ticket);
                    self.answer_fetch(connection, Reply::error("shutdown in progress"), None);
                }
                Some(State::Mutating) => {
                    self.answer(connection, Reply::error("shutdown in progress"))
                }
                Some(State::Idle | State::Closed) | None => {}
            }
            self.close(connection);
        }
        self.mutations.clear();
    }

    /// Does what time brings, a bounded part of it; true where more is to be done at once.
    ///
    /// # Errors
    /// Where the store fails; the machine is then of no more use.
    pub fn advance(&mut self, store: &mut dyn Store, now: Now) -> Result<bool, StoreError> {
        for waiter in self.waiting.expired(now.monotonic) {
            self.answer_fetch(waiter.connection, Reply::Nothing, None);
            self.unblock(waiter.connection);
        }
        for (wid, connections) in self.workers.reap(now) {
            tracing::info!(worker = %wid, connections = connections.len(), "worker has been silent for over a minute; its connections are closed");
            connections.into_iter().for_each(|connection| self.close(connection));
        }
        let mut more = self.advance_sets(store, now)?;
        more |= self.advance_mutation(store, now)?;
        more |= self.advance_trash(store)?;
        self.run(store, now)?;
        Ok(more)
    }

    /// How long nothing happens by itself.
    #[must_use]
    pub fn next_wake(&self, now: Now) -> Duration {
        if !self.mutations.is_empty() || !self.trash.is_empty() {
            return Duration::ZERO;
        }
        let waits = self.waiting.next_deadline().into_iter().chain(self.workers.next_check());
        let waits = waits.map(|deadline| deadline.saturating_sub(now.monotonic));
        let dues = self.timers.next().map(|due| due.since(now.wall));
        // A minute at most: a wall clock that is set must not make us sleep through what is due.
        waits.chain(dues).min().unwrap_or(Duration::MAX).min(Duration::from_secs(60))
    }

    /// What is to be said and done, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// True where the store must be synced before answers that wait for it go out; asking resets
    /// it.
    pub fn take_unsynced(&mut self) -> bool {
        std::mem::take(&mut self.unsynced)
    }

    /// Tells the machine how much memory its process uses, for INFO.
    pub fn set_used_memory_mb(&mut self, megabytes: u64) {
        self.used_memory_mb = megabytes;
    }

    /// Carries out commands until every connection waits for something.
    fn run(&mut self, store: &mut dyn Store, now: Now) -> Result<(), StoreError> {
        while let Some(connection) = self.runnable.pop_front() {
            while let Some(request) = self.connections.next_request(connection) {
                self.execute(store, now, connection, request)?;
            }
        }
        Ok(())
    }

    fn execute(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        request: Result<Command, CommandError>,
    ) -> Result<(), StoreError> {
        if self.shutting_down {
            self.answer(connection, Reply::error("shutdown in progress"));
            self.close(connection);
            return Ok(());
        }
        let command = match request {
            Ok(command) => command,
            Err(error) => {
                self.answer(connection, Reply::error(error));
                return Ok(());
            }
        };
        let reply = match command {
            Command::End => {
                self.close(connection);
                return Ok(());
            }
            Command::Fetch(queues) => return self.fetch(store, now, connection, queues),
            Command::Mutate(mutation) => {
                return self.start_mutation(store, now, connection, mutation);
            }
            Command::Push(job) => self.push(store, now, *job)?,
            Command::PushBulk(jobs) => self.push_bulk(store, now, jobs)?,
            Command::Ack(jid) => self.ack(store, &jid)?,
            Command::Fail(report) => self.fail(store, now, *report)?,
            Command::Beat(beat) => self.workers.beat(&beat, now),
            Command::Info => self.info(now),
            Command::Flush => self.flush(store)?,
            Command::Queue(command) => self.queue_command(store, now, command)?,
        };
        self.answer(connection, reply);
        Ok(())
    }

    fn answer(&mut self, connection: ConnectionId, reply: Reply) {
        self.outputs.push(Output::Reply { connection, reply, reservation: None, after_sync: true });
    }

    /// The answer to a FETCH does not wait for a sync.
    fn answer_fetch(
        &mut self,
        connection: ConnectionId,
        reply: Reply,
        reservation: Option<Reservation>,
    ) {
        self.outputs.push(Output::Reply { connection, reply, reservation, after_sync: false });
    }

    /// Ends a connection after what has been answered. Nothing more that it has sent is carried
    /// out, and it gets no job.
    fn close(&mut self, connection: ConnectionId) {
        if let Some(State::Fetching(ticket)) = self.connections.state(connection) {
            self.waiting.remove(ticket);
        }
        if self.connections.seal(connection) {
            self.outputs.push(Output::Close { connection });
        }
    }

    fn unblock(&mut self, connection: ConnectionId) {
        self.connections.set_state(connection, State::Idle);
        self.runnable.push_back(connection);
    }

    /// Writes what was put together, with the counters and the records of the queues it touches.
    fn commit(&mut self, store: &mut dyn Store, mut edit: Edit) -> Result<(), StoreError> {
        if edit.batch.changes.is_empty() && edit.queues.is_empty() {
            return Ok(());
        }
        for id in edit.queues {
            if let Some(queue) = self.queues.get(id) {
                edit.batch.put(Table::Meta, keys::queue(id), queue.record());
            }
        }
        edit.batch.put(Table::Meta, keys::COUNTERS_KEY, self.counters.encode());
        store.write(edit.batch)
    }
}
