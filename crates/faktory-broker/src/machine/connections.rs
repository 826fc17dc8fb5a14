//! The connections: for each, its commands that are still to be carried out, and its state.

use std::collections::{HashMap, VecDeque};

use faktory_wire::{Command, CommandError};

use super::ConnectionId;

/// The state of a connection: what its next command waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The next command can run.
    Idle,
    /// The connection waits for a job; its FETCH has this ticket.
    Fetching(u64),
    /// The connection waits for the end of its MUTATE.
    Mutating,
    /// No command of the connection is carried out any more.
    Closed,
}

/// A connection, as the machine knows it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) wid: Option<String>,
    pub(super) state: State,
    /// Commands behind a command that waits. Their number is bounded by the connection's window.
    backlog: VecDeque<Result<Command, CommandError>>,
    input_ended: bool,
}

/// All open connections.
#[derive(Debug, Default)]
pub(super) struct Connections(HashMap<ConnectionId, Connection>);

impl Connections {
    pub(super) fn open(&mut self, id: ConnectionId, wid: Option<String>) {
        self.0.insert(
            id,
            Connection { wid, state: State::Idle, backlog: VecDeque::new(), input_ended: false },
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

    /// Takes the next command, where the connection is idle.
    pub(super) fn next_request(
        &mut self,
        id: ConnectionId,
    ) -> Option<Result<Command, CommandError>> {
        let connection = self.0.get_mut(&id)?;
        if connection.state == State::Idle { connection.backlog.pop_front() } else { None }
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

    pub(super) fn input_ended(&self, id: ConnectionId) -> bool {
        self.0.get(&id).is_none_or(|connection| connection.input_ended)
    }

    /// Notes the end of the input, and returns the ticket of a FETCH that waits.
    pub(super) fn end_input(&mut self, id: ConnectionId) -> Option<u64> {
        let connection = self.0.get_mut(&id)?;
        connection.input_ended = true;
        match connection.state {
            State::Fetching(ticket) => Some(ticket),
            State::Idle | State::Mutating | State::Closed => None,
        }
    }
}
