//! The connections: what each has sent and waits for.

use std::collections::{HashMap, VecDeque};

use faktory_wire::{Command, CommandError};

use super::ConnectionId;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing: its next command can run.
    Idle,
    /// A job, by the ticket of its FETCH.
    Fetching(u64),
    /// The end of its MUTATE.
    Mutating,
    /// Nothing ever again.
    Closed,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) wid: Option<String>,
    pub(super) state: State,
    /// Commands behind one that waits; bounded by what the server lets a client have unanswered.
    backlog: VecDeque<Result<Command, CommandError>>,
    input_ended: bool,
}

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

    /// In the order in which they were opened.
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

    /// The next command, where the connection waits for nothing.
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

    /// Carries out nothing more of this connection; false where that was so already.
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

    /// Notes the end of input, and returns the ticket of the FETCH that waits, if one does.
    pub(super) fn end_input(&mut self, id: ConnectionId) -> Option<u64> {
        let connection = self.0.get_mut(&id)?;
        connection.input_ended = true;
        match connection.state {
            State::Fetching(ticket) => Some(ticket),
            State::Idle | State::Mutating | State::Closed => None,
        }
    }
}
