//! When answers go out. The answer to a FETCH leaves when its record is written: a job that is
//! handed out stays reserved when this process ends. Every other answer leaves when all that was
//! done before it is durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use faktory_wire::Excerpt;

use super::{Core, Outgoing};
use crate::machine::{ConnectionId, Output, Reservation};
use crate::store::StoreError;

/// The most records that are being made durable. Commands that arrive meanwhile gather for the
/// next one, so that the record grows where the disk is slow.
const UNDER_WAY_MAX: usize = 1;
/// A record is written when so much has gathered for it, though it can't be synced yet.
const UNCOMMITTED_BYTES_MAX: usize = 1 << 20;
/// A sync that took longer is left to another thread, and the core goes on meanwhile.
const SHORT_SYNC: Duration = Duration::from_millis(2);
/// What takes a disk longer than that, surely.
const LONG_BYTES: usize = 1 << 20;
/// The longest time for which a long job waits only because others wait for the store too.
const LONG_JOB_WAIT: Duration = Duration::from_millis(50);
/// The time between two tries to write a record for which there is no room.
const NO_ROOM_WAIT: Duration = Duration::from_millis(100);

/// True while the core waits for the store to say that more is durable.
#[derive(Debug, Default)]
pub(crate) struct AwaitsStore(AtomicBool);

impl AwaitsStore {
    fn begin(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    #[cfg(test)]
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// True where the core is to be told now.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

/// A record that is being made durable.
#[derive(Debug)]
struct UnderWay {
    number: u64,
    asked_at: Instant,
    /// The bytes that become durable with it.
    bytes: usize,
    /// The outputs that wait for it.
    outputs: Vec<Output>,
}

/// The outputs that wait for the store.
#[derive(Debug)]
pub(super) struct Answers {
    /// Something was done that an answer promises, and that no record under way holds.
    promises: bool,
    /// The outputs that wait for the next record.
    held: Vec<Output>,
    under_way: VecDeque<UnderWay>,
    /// The bytes of records of which none is under way.
    unsynced_bytes: usize,
    /// When a long job began to wait for what others wait for.
    long_job_waits: Option<Instant>,
    /// The time that the last sync took; unknown at first.
    last_sync: Option<Duration>,
    /// When a record is tried again for which there was no room.
    try_again_at: Option<Instant>,
    /// The connections for which something lies in their outboxes.
    to_post: Vec<ConnectionId>,
    awaits_store: Arc<AwaitsStore>,
}

impl Answers {
    pub(super) fn new(awaits_store: Arc<AwaitsStore>) -> Self {
        Self {
            promises: false,
            held: Vec::new(),
            under_way: VecDeque::new(),
            unsynced_bytes: 0,
            long_job_waits: None,
            last_sync: None,
            try_again_at: None,
            to_post: Vec::new(),
            awaits_store,
        }
    }

    /// True where an answer must not go out yet.
    fn has_promises(&self) -> bool {
        self.promises || !self.under_way.is_empty()
    }

    fn is_long_under_way(&self) -> bool {
        self.under_way.iter().any(|record| record.bytes >= LONG_BYTES)
    }

    fn needs_record(&self) -> bool {
        self.promises || !self.held.is_empty()
    }

    /// True where nothing waits for the store.
    pub(super) fn is_idle(&self) -> bool {
        !self.needs_record() && self.under_way.is_empty()
    }

    /// The time until a record is tried again for which there was no room.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.try_again_at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// The same, where nothing else wakes the core before: what becomes durable does.
    pub(super) fn next_try(&self) -> Option<Duration> {
        self.wait().filter(|_| self.under_way.is_empty())
    }
}

impl Core {
    /// Sends all outputs that may go out, and begins a record where others wait for one. Jobs in
    /// answers that can't be sent return to their queues, which can give more answers.
    pub(super) fn deliver(&mut self) -> Result<(), StoreError> {
        loop {
            let mut undeliverable = Vec::new();
            self.send_durable(&mut undeliverable)?;
            let ready = self.hold_back();
            if !ready.is_empty() || self.store.uncommitted_bytes() >= UNCOMMITTED_BYTES_MAX {
                let is_committed = self.commit()?.is_some();
                self.let_go(ready, is_committed, &mut undeliverable);
            }
            self.post(&mut undeliverable);
            let is_synced = self.begin_sync()?;
            if !undeliverable.is_empty() {
                let now = self.now();
                self.machine.undeliverable(&mut *self.store, now, &undeliverable)?;
            } else if !is_synced {
                return Ok(());
            }
        }
    }

    /// Sends what it still can when there are no connections any more, and closes the store.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        self.deliver()?;
        self.machine.settle(&mut *self.store)?;
        self.store.sync()?;
        self.deliver()?;
        self.machine.settle(&mut *self.store)?;
        self.store.sync()?;
        if let Err(error) = self.store.close() {
            tracing::warn!(
                error = %Excerpt(error),
                "everything is durable, but the store was not closed in order: the next start \
                 reads its journal again"
            );
        }
        Ok(())
    }

    /// Takes the outputs of the machine. Those that wait for the next record are held back; the
    /// others are returned, and may go when what was done so far is written: at once, or with the
    /// answers to the same connection that wait for a record under way.
    fn hold_back(&mut self) -> Vec<(Output, Option<u64>)> {
        self.answers.promises |= self.machine.take_unsynced();
        let outputs = self.machine.take_outputs();
        let has_promises = self.answers.has_promises();
        let mut ready = Vec::with_capacity(outputs.len());
        for output in outputs {
            let (connection, is_promise) = match &output {
                Output::Reply { connection, after_sync, .. } => (connection, *after_sync),
                Output::Close { connection } => (connection, false),
            };
            let Some(client) = self.connections.get_mut(connection) else {
                ready.push((output, None));
                continue;
            };
            // A connection's answers keep their order.
            let is_behind = client.waiting > 0;
            if is_promise && has_promises || is_behind && client.behind.is_none() {
                (client.waiting, client.behind) = (client.waiting + 1, None);
                self.answers.held.push(output);
            } else if is_behind {
                client.waiting += 1;
                ready.push((output, client.behind));
            } else {
                ready.push((output, None));
            }
        }
        ready
    }

    /// Lets outputs go of which each is written now. Where nothing could be written they wait for
    /// the next record.
    fn let_go(
        &mut self,
        outputs: Vec<(Output, Option<u64>)>,
        is_written: bool,
        undeliverable: &mut Vec<Reservation>,
    ) {
        let mut unwritten = Vec::new();
        for (output, behind) in outputs {
            if is_written {
                let under_way = &mut self.answers.under_way;
                match under_way.iter_mut().find(|record| Some(record.number) == behind) {
                    Some(record) => record.outputs.push(output),
                    None => self.send(output, undeliverable),
                }
                continue;
            }
            let (Output::Reply { connection, .. } | Output::Close { connection }) = &output;
            if let Some(client) = self.connections.get_mut(connection) {
                client.waiting += usize::from(behind.is_none());
                client.behind = None;
            }
            unwritten.push(output);
        }
        // What was held back for the same connections stands behind them.
        self.answers.held.splice(0..0, unwritten);
    }

    /// Sends the outputs whose records are durable.
    fn send_durable(&mut self, undeliverable: &mut Vec<Reservation>) -> Result<(), StoreError> {
        if self.answers.under_way.is_empty() {
            return Ok(());
        }
        // Whoever wakes the core takes the mark, also where it was another record that became
        // durable.
        self.answers.awaits_store.begin();
        let durable = self.store.durable()?;
        while self.answers.under_way.front().is_some_and(|first| first.number <= durable)
            && let Some(first) = self.answers.under_way.pop_front()
        {
            let now = Instant::now();
            self.quiet_since = now;
            self.answers.last_sync = Some(now.saturating_duration_since(first.asked_at));
            for output in first.outputs {
                let (Output::Reply { connection, .. } | Output::Close { connection }) = &output;
                if let Some(client) = self.connections.get_mut(connection) {
                    client.waiting = client.waiting.saturating_sub(1);
                }
                self.send(output, undeliverable);
            }
        }
        Ok(())
    }

    /// Writes a record of all that was done; `None` where there is no room for it now.
    pub(super) fn commit(&mut self) -> Result<Option<u64>, StoreError> {
        if self.answers.wait().is_some_and(|wait| !wait.is_zero()) {
            return Ok(None);
        }
        self.machine.settle(&mut *self.store)?;
        let bytes = self.store.uncommitted_bytes();
        match self.store.commit() {
            Ok(number) => {
                self.answers.unsynced_bytes += bytes;
                if self.answers.try_again_at.take().is_some() {
                    tracing::info!("the store has room again");
                }
                Ok(Some(number))
            }
            Err(StoreError::NoRoom(error)) => {
                if self.answers.try_again_at.is_none() {
                    tracing::error!(
                        error = %Excerpt(error),
                        "the store has no room; nothing is answered until it has"
                    );
                }
                self.answers.try_again_at = Some(Instant::now() + NO_ROOM_WAIT);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Lets the next record become durable where something waits for it; true where it is already.
    /// Where nothing else is to be done meanwhile, this thread makes it so: to wake another one and
    /// be woken by it would take as long as the sync.
    fn begin_sync(&mut self) -> Result<bool, StoreError> {
        if !self.answers.needs_record() || self.answers.under_way.len() >= UNDER_WAY_MAX {
            return Ok(false);
        }
        // From here on a record may become durable at any moment.
        self.answers.awaits_store.begin();
        let Some(number) = self.commit()? else { return Ok(false) };
        let outputs = std::mem::take(&mut self.answers.held);
        for output in &outputs {
            let (Output::Reply { connection, .. } | Output::Close { connection }) = output;
            if let Some(client) = self.connections.get_mut(connection) {
                client.behind = Some(number);
            }
        }
        self.answers.promises = false;
        let bytes = std::mem::take(&mut self.answers.unsynced_bytes);
        let asked_at = Instant::now();
        self.answers.under_way.push_back(UnderWay { number, asked_at, bytes, outputs });
        let is_short =
            bytes < LONG_BYTES && self.answers.last_sync.is_some_and(|last| last <= SHORT_SYNC);
        if is_short && self.events.is_empty() && !self.store.is_distant() {
            self.store.sync()?;
            return Ok(true);
        }
        if number <= self.store.durable()? {
            // Nothing was done but what is durable already, and nobody would wake this thread.
            return Ok(true);
        }
        self.store.flush();
        Ok(false)
    }

    /// Lets no second long job into the record that is gathered.
    pub(super) fn note_long_job(&mut self) {
        if self.store.uncommitted_bytes() >= LONG_BYTES {
            self.machine.let_long_jobs_wait(true);
        }
    }

    /// Lets jobs of a megabyte or more wait while one is made durable, which takes tens of
    /// milliseconds, and for a moment while anything else is: then whoever pushes little waits for
    /// one of them at the most, and mostly for none.
    pub(super) fn pace_long_jobs(&mut self) {
        if !self.machine.has_long_job() {
            self.answers.long_job_waits = None;
            self.machine.let_long_jobs_wait(self.answers.is_long_under_way());
            return;
        }
        let since = *self.answers.long_job_waits.get_or_insert_with(Instant::now);
        let is_patient = self.answers.has_promises() && since.elapsed() < LONG_JOB_WAIT;
        self.machine.let_long_jobs_wait(is_patient || self.answers.is_long_under_way());
    }

    fn send(&mut self, output: Output, undeliverable: &mut Vec<Reservation>) {
        let (connection, outgoing) = match output {
            Output::Reply { connection, reply, reservations, bytes, .. } => {
                (connection, Outgoing::Reply { reply, reservations, bytes })
            }
            Output::Close { connection } => {
                self.catch_up.left(connection);
                (connection, Outgoing::Close)
            }
        };
        match self.connections.get_mut(&connection) {
            Some(client) => {
                client.unanswered.pop_front();
                if client.outbox.is_empty() {
                    self.answers.to_post.push(connection);
                }
                client.outbox.push(outgoing);
            }
            None => undeliverable.extend(outgoing.into_reservations()),
        }
    }

    /// Hands the connections what lies in their outboxes, all of it at once: each of them is woken
    /// once.
    fn post(&mut self, undeliverable: &mut Vec<Reservation>) {
        for connection in self.answers.to_post.drain(..) {
            let Some(client) = self.connections.get_mut(&connection) else { continue };
            let outbox = std::mem::take(&mut client.outbox);
            // The channel has room for every answer that the connection may wait for, so a full
            // channel means that the connection no longer takes answers.
            if let Err(unsent) = client.replies.try_send(outbox) {
                let unsent = unsent.into_inner().into_iter();
                undeliverable.extend(unsent.flat_map(Outgoing::into_reservations));
            }
        }
    }
}
