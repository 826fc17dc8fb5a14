//! The connections: for each, its commands that are still to be carried out, and its state.

use std::collections::{HashMap, VecDeque};

use faktory_wire::{Command, CommandError};
use foldhash::fast::RandomState;

use super::ConnectionId;
use super::queues::Queues;
use super::replies::{self, Replies, ReplyBytes};

/// The state of a connection: what its next command waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The next command can run.
    Idle,
    /// The connection waits for a job; its FETCH has this ticket.
    Fetching(u64),
    /// The connection waits for the end of a command that is carried out in slices.
    Busy,
    /// No command of the connection is carried out any more.
    Closed,
}

/// A connection, as the machine knows it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) wid: Option<String>,
    /// The client understands the numbers of reservations.
    knows_reservations: bool,
    pub(super) state: State,
    /// Commands behind a command that waits. Their number is bounded by the connection's window.
    backlog: VecDeque<Result<Command, CommandError>>,
    /// What the answer to the next command may come to; `None` where nobody has asked yet.
    answer_bytes: Option<usize>,
    input_ended: bool,
    /// The connection is among those that may have a command to run.
    is_runnable: bool,
    pub(super) replies: ReplyBytes,
}

impl Connection {
    /// True where a command can have its turn.
    fn may_run(&self) -> bool {
        self.state == State::Idle && !self.backlog.is_empty()
    }
}

/// What a connection does when its turn comes.
#[derive(Debug)]
pub(super) enum Turn {
    /// What the answer may come to stands beside the command.
    Run(Result<Command, CommandError>, usize),
    /// The next command waits until replies have been written.
    Blocked,
    /// The next command waits until room for its answer can be reserved.
    Waits,
    /// No command can run.
    Nothing,
}

/// All open connections.
#[derive(Debug, Default)]
pub(super) struct Connections(HashMap<ConnectionId, Connection, RandomState>);

impl Connections {
    pub(super) fn open(&mut self, id: ConnectionId, wid: Option<String>, knows_reservations: bool) {
        self.0.insert(
            id,
            Connection {
                wid,
                knows_reservations,
                state: State::Idle,
                backlog: VecDeque::new(),
                answer_bytes: None,
                input_ended: false,
                is_runnable: false,
                replies: ReplyBytes::default(),
            },
        );
    }

    pub(super) fn close(&mut self, id: ConnectionId) -> Option<Connection> {
        self.0.remove(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// All ids, in the order in which the connections were opened.
    pub(super) fn ids(&self) -> Vec<ConnectionId> {
        let mut ids: Vec<_> = self.0.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn queue(&mut self, id: ConnectionId, request: Result<Command, CommandError>) {
        if let Some(connection) =
            self.0.get_mut(&id).filter(|connection| connection.state != State::Closed)
        {
            connection.backlog.push_back(request);
        }
    }

    /// Notes that a connection may have a command to run; false where that is known.
    pub(super) fn make_runnable(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.0.get_mut(&id) else { return false };
        connection.may_run() && !std::mem::replace(&mut connection.is_runnable, true)
    }

    /// Takes the next command, where the connection is idle and `replies` leave room.
    pub(super) fn take_turn(
        &mut self,
        id: ConnectionId,
        replies: &Replies,
        queues: &Queues,
    ) -> Turn {
        let Some(connection) = self.0.get_mut(&id) else { return Turn::Nothing };
        connection.is_runnable = false;
        let Some(next) = connection.backlog.front().filter(|_| connection.state == State::Idle)
        else {
            return Turn::Nothing;
        };
        let Ok(command) = next else {
            return connection.backlog.pop_front().map_or(Turn::Nothing, |next| Turn::Run(next, 0));
        };
        if !replies.allow(&connection.replies, command, queues) {
            return Turn::Blocked;
        }
        // Asked once: it may be a look at each of many jobs.
        let bytes =
            *connection.answer_bytes.get_or_insert_with(|| replies::answer_bytes(command, queues));
        if !replies.may_reserve(id, bytes) {
            return Turn::Waits;
        }
        connection.answer_bytes = None;
        connection.backlog.pop_front().map_or(Turn::Nothing, |next| Turn::Run(next, bytes))
    }

    /// True where a connection has a command that can have its turn.
    pub(super) fn may_run(&self, id: ConnectionId) -> bool {
        self.0.get(&id).is_some_and(Connection::may_run)
    }

    /// True where commands wait behind the one that is being carried out.
    pub(super) fn has_backlog(&self, id: ConnectionId) -> bool {
        self.0.get(&id).is_some_and(|connection| !connection.backlog.is_empty())
    }

    pub(super) fn reply_bytes(&self, id: ConnectionId) -> Option<&ReplyBytes> {
        self.0.get(&id).map(|connection| &connection.replies)
    }

    pub(super) fn reply_bytes_mut(&mut self, id: ConnectionId) -> Option<&mut ReplyBytes> {
        self.0.get_mut(&id).map(|connection| &mut connection.replies)
    }

    pub(super) fn state(&self, id: ConnectionId) -> Option<State> {
        self.0.get(&id).map(|connection| connection.state)
    }

    pub(super) fn set_state(&mut self, id: ConnectionId, state: State) {
        if let Some(connection) =
            self.0.get_mut(&id).filter(|connection| connection.state != State::Closed)
        {
            connection.state = state;
        }
    }

    /// Drops the commands of a connection and takes no more; false where that was so already.
    pub(super) fn seal(&mut self, id: ConnectionId) -> bool {
        match self.0.get_mut(&id).filter(|connection| connection.state != State::Closed) {
            Some(connection) => {
                connection.state = State::Closed;
                connection.backlog.clear();
                true
            }
            None => false,
        }
    }

    pub(super) fn wid(&self, id: ConnectionId) -> Option<&str> {
        self.0.get(&id)?.wid.as_deref()
    }

    /// True where the client understands the numbers of reservations.
    pub(super) fn knows_reservations(&self, id: ConnectionId) -> bool {
        self.0.get(&id).is_some_and(|connection| connection.knows_reservations)
    }

    pub(super) fn input_ended(&self, id: ConnectionId) -> bool {
        self.0.get(&id).is_none_or(|connection| connection.input_ended)
    }

    /// Notes the end of the input, and returns the ticket of a FETCH that waits.
    pub(super) fn end_input(&mut self, id: ConnectionId) -> Option<u64> {
        let connection = self.0.get_mut(&id)?;
        connection.input_ended = true;
        match connection.state {
            State::Fetching(ticket) => Some(ticket),
            State::Idle | State::Busy | State::Closed => None,
        }
    }
}
