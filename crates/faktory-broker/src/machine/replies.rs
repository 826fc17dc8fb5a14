//! Replies that have not been written to their client's socket: their bytes, for each connection
//! and in total. Nothing more is carried out for a client that does not read.

use std::collections::{BTreeSet, VecDeque};

use faktory_wire::{Command, PushOnce, Reply};

use super::queues::Queues;
use super::{ConnectionId, Machine, push, queue_command};

/// A connection with more bytes of unwritten replies gets no further command carried out. A reply
/// that is under way may be much larger, so that the last one goes beyond.
const CONNECTION_BYTES_MAX: u64 = 1 << 20;
/// The total over all connections from which large replies wait.
const TOTAL_BYTES_MAX: u64 = 64 << 20;
/// While the total is used up, a connection with more bytes of unwritten replies gets no command
/// carried out. A client that reads is seldom above it.
const FLOOR_BYTES: u64 = 16 << 10;
/// A reply of more bytes is large.
pub(super) const LARGE_REPLY_BYTES: usize = 64 << 10;
/// What the answer to a `WF PUSHB` may come to that is not counted before: that of a push which is
/// one atomic write, with ids as our API makes them.
const UNCOUNTED_BYTES: usize = 512 << 10;
/// What a reply takes in memory beside its text.
const OVERHEAD_BYTES: usize = 64;

/// The bytes of unwritten replies over all connections.
#[derive(Debug, Default)]
pub(super) struct Replies {
    total: u64,
    /// The bytes that large replies may come to that are being made, in slices: at most
    /// [`TOTAL_BYTES_MAX`] with the total, or those of one reply. They make no other reply wait
    /// but those that are made in the same way.
    pub(super) reserved: u64,
    /// Connections with unwritten replies, as far as the machine knows.
    owing: Vec<ConnectionId>,
    /// Connections whose next command waits for room.
    blocked: BTreeSet<ConnectionId>,
    /// Those of them that wait until room for an answer can be reserved, in the order in which they
    /// began to: only the first may reserve, or large answers would wait for ever beside small
    /// ones.
    reserving: VecDeque<ConnectionId>,
    /// Queues whose first job waits for room.
    queues: Vec<u32>,
    /// INFOs wait for room.
    infos_wait: bool,
}

/// The bytes of a connection's replies since its beginning.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReplyBytes {
    answered: u64,
    written: u64,
    is_owing: bool,
    /// What the connection's reply may come to that is being made.
    reserved: u64,
}

impl ReplyBytes {
    const fn unwritten(&self) -> u64 {
        self.answered.saturating_sub(self.written)
    }
}

impl Replies {
    /// True where the total is used up.
    pub(super) const fn is_full(&self) -> bool {
        self.total >= TOTAL_BYTES_MAX
    }

    /// The bytes that one more reply may have.
    pub(super) const fn room(&self) -> usize {
        if self.is_full() { LARGE_REPLY_BYTES } else { usize::MAX }
    }

    pub(super) fn wait_for_room(&mut self, queue: u32) {
        self.queues.push(queue);
    }

    pub(super) const fn let_infos_wait(&mut self) {
        self.infos_wait = true;
    }

    /// True where INFOs wait for room.
    pub(super) const fn do_infos_wait(&self) -> bool {
        self.infos_wait
    }

    pub(super) fn block(&mut self, connection: ConnectionId) {
        self.blocked.insert(connection);
    }

    /// True where the replies of a connection leave room for its next command.
    const fn leave_room(&self, of: &ReplyBytes) -> bool {
        of.unwritten() <= if self.is_full() { FLOOR_BYTES } else { CONNECTION_BYTES_MAX }
    }

    /// True where a connection may get this command carried out.
    pub(super) fn allow(&self, of: &ReplyBytes, command: &Command, queues: &Queues) -> bool {
        if !self.leave_room(of) {
            return false;
        }
        match command {
            Command::Info => !self.is_full() || queues.info_bytes() <= LARGE_REPLY_BYTES,
            // The size of a job is known once the job has been read, see `fetch.rs`.
            _ => true,
        }
    }

    /// True where a connection may begin an answer that may come to so many bytes.
    pub(super) fn may_reserve(&self, id: ConnectionId, bytes: usize) -> bool {
        if bytes <= LARGE_REPLY_BYTES {
            return true;
        }
        let fits = self.total + self.reserved + bytes as u64 <= TOTAL_BYTES_MAX;
        let is_first = self.reserving.front().is_none_or(|first| *first == id);
        is_first && !self.is_full() && (fits || self.reserved == 0)
    }
}

/// What the answer to a command may come to that is counted before it is begun, because many
/// commands may have begun before the first one is answered. A PUSHB of which no job is refused, or
/// that is refused as a whole, has a short answer.
pub(super) fn answer_bytes(command: &Command, queues: &Queues) -> usize {
    match command {
        Command::Queue(command) => queue_command::answer_bytes(command),
        Command::PushBulk(jobs)
            if push::refusal_of_all(jobs).is_none() && push::may_refuse_any(jobs, queues) =>
        {
            push::answer_bytes(jobs)
        }
        // Any of them may be refused for its id, and hardly one is.
        Command::PushOnce(PushOnce { jobs, .. }) if push::refusal_of_all(jobs).is_none() => {
            Some(push::answer_bytes(jobs)).filter(|bytes| *bytes > UNCOUNTED_BYTES).unwrap_or(0)
        }
        _ => 0,
    }
}

impl Machine {
    /// Counts a reply, and returns the bytes that it counts for.
    pub(super) fn count_reply(&mut self, connection: ConnectionId, reply: &Reply) -> usize {
        let text = match reply {
            Reply::Simple(text) | Reply::Bulk(text) => text.len(),
            Reply::Error(text) => text.len(),
            Reply::Nothing => 0,
        };
        let bytes = text + OVERHEAD_BYTES;
        if let Some(of) = self.connections.reply_bytes_mut(connection) {
            of.answered += bytes as u64;
            self.replies.total += bytes as u64;
            if !std::mem::replace(&mut of.is_owing, true) {
                self.replies.owing.push(connection);
            }
        }
        bytes
    }

    /// Lets a connection wait until room for its answer can be reserved.
    pub(super) fn wait_to_reserve(&mut self, connection: ConnectionId) {
        let Self { replies, connections, .. } = self;
        replies.blocked.insert(connection);
        let first = replies.reserving.front().copied();
        while replies.reserving.front().is_some_and(|waits| !connections.may_run(*waits)) {
            replies.reserving.pop_front();
        }
        if !replies.reserving.contains(&connection) {
            replies.reserving.push_back(connection);
        }
        if first != replies.reserving.front().copied() {
            self.wake_first();
        }
    }

    /// Lets the next one try that waits to reserve room, once `connection` waits no more.
    pub(super) fn waits_no_more(&mut self, connection: ConnectionId) {
        if self.replies.reserving.contains(&connection) {
            self.replies.reserving.retain(|waits| *waits != connection);
            self.wake_first();
        }
    }

    fn wake_first(&mut self) {
        if let Some(first) = self.replies.reserving.front().copied() {
            self.replies.blocked.remove(&first);
            self.make_runnable(first);
        }
    }

    /// Counts what the answer to a command may come to, until [`Self::release_answer`].
    pub(super) fn reserve_answer(&mut self, connection: ConnectionId, bytes: usize) {
        if let Some(of) = self.connections.reply_bytes_mut(connection) {
            of.reserved = bytes as u64;
            self.replies.reserved += of.reserved;
        }
    }

    /// Counts a reply no more that was being made: it is counted with those that are made.
    pub(super) fn release_answer(&mut self, connection: ConnectionId) {
        let of = self.connections.reply_bytes_mut(connection);
        let bytes = of.map_or(0, |of| std::mem::take(&mut of.reserved));
        if bytes > 0 {
            self.replies.reserved = self.replies.reserved.saturating_sub(bytes);
            self.use_room();
        }
    }

    /// Tells the machine how many bytes of replies have been written. `written` gives the bytes of
    /// a connection since its beginning, as [`Output::Reply`](super::Output::Reply) counts them.
    /// Commands that waited for room are carried out by the next [`Machine::advance`].
    pub fn note_written(&mut self, written: impl Fn(ConnectionId) -> u64) {
        let mut owing = std::mem::take(&mut self.replies.owing);
        let mut freed = false;
        owing.retain(|connection| {
            let Some(of) = self.connections.reply_bytes_mut(*connection) else { return false };
            let now = written(*connection).clamp(of.written, of.answered);
            freed |= now > of.written;
            self.replies.total = self.replies.total.saturating_sub(now - of.written);
            of.written = now;
            of.is_owing = of.unwritten() > 0;
            of.is_owing
        });
        self.replies.owing = owing;
        if freed {
            self.use_room();
        }
    }

    /// The connections whose replies are not all written.
    pub fn owing(&self) -> impl Iterator<Item = ConnectionId> {
        self.replies.owing.iter().copied()
    }

    /// True where something waits until more replies have been written.
    #[must_use]
    pub fn waits_for_room(&self) -> bool {
        let Replies { blocked, queues, infos_wait, .. } = &self.replies;
        !blocked.is_empty() || !queues.is_empty() || *infos_wait
    }

    /// The connections of which a command waits for room although their own replies would leave
    /// it: other clients do not read theirs, or get large ones.
    pub(super) fn held_up(&self) -> impl Iterator<Item = ConnectionId> {
        let blocked = self.replies.blocked.iter().copied().filter(|connection| {
            let of = self.connections.reply_bytes(*connection);
            of.is_some_and(|of| of.unwritten() <= CONNECTION_BYTES_MAX)
                && self.connections.has_backlog(*connection)
        });
        let infos = self.replies.infos_wait.then(|| self.infos.connections());
        blocked.chain(infos.into_iter().flatten())
    }

    /// Forgets the replies of a connection that has ended.
    pub(super) fn forget_replies(&mut self, connection: ConnectionId, of: &ReplyBytes) {
        self.waits_no_more(connection);
        self.replies.total = self.replies.total.saturating_sub(of.unwritten());
        self.replies.reserved = self.replies.reserved.saturating_sub(of.reserved);
        self.use_room();
    }

    /// Lets go on what waited for room.
    fn use_room(&mut self) {
        let mut blocked = std::mem::take(&mut self.replies.blocked);
        blocked.retain(|connection| {
            let Some(of) = self.connections.reply_bytes_mut(*connection) else { return false };
            let stays = !self.replies.leave_room(of);
            if !stays {
                self.make_runnable(*connection);
            }
            stays
        });
        self.replies.blocked = blocked;
        if self.replies.is_full() {
            return;
        }
        for queue in std::mem::take(&mut self.replies.queues) {
            if let Some(of) = self.queues.get_mut(queue) {
                of.awaits_room = false;
                self.serve_later(queue);
            }
        }
        if std::mem::take(&mut self.replies.infos_wait) {
            self.resume_infos();
        }
    }
}
