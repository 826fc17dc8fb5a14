//! The output of the machine: replies with the jobs in them, and orders to close a connection.

use faktory_wire::Reply;

use super::ConnectionId;
use super::keys::EntryKey;

/// A fetched job in a reply, by which the job can be returned to its queue where the reply does not
/// arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reservation {
    pub(super) key: EntryKey,
    /// The reply was under way when the connection ended: it is unknown whether the reply arrived.
    pub(super) may_have_arrived: bool,
}

impl Reservation {
    /// The reservation of a job whose reply has not been written.
    pub(super) const fn unsent(key: EntryKey) -> Self {
        Self { key, may_have_arrived: false }
    }

    /// The same reservation, where the reply was written and may have arrived.
    pub(crate) const fn perhaps_arrived(self) -> Self {
        Self { may_have_arrived: true, ..self }
    }
}

/// An order of the machine for a connection. The replies of a connection stand in the order of its
/// commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a reply.
    Reply {
        /// The connection that gets the reply.
        connection: ConnectionId,
        /// The reply.
        reply: Reply,
        /// The fetched jobs in the reply.
        reservations: Vec<Reservation>,
        /// True where the reply may go out only after the next sync. The reply to a FETCH need not
        /// wait.
        after_sync: bool,
        /// The bytes that count as unwritten until [`super::Machine::note_written`] tells
        /// otherwise.
        bytes: usize,
    },
    /// End a connection when all its earlier replies have been sent.
    Close {
        /// The connection that ends.
        connection: ConnectionId,
    },
}
