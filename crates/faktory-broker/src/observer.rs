//! What a program that embeds a broker may count.

use crate::machine::RememberedIds;
use crate::store::SetAside;

/// Is told what happens in a broker, for figures. The calls come from the tasks of connections and
/// from the broker's thread, and must not block. A method that is left out does nothing.
pub trait Observer: Send + Sync {
    /// A client did not know the password.
    fn wrong_password(&self) {}

    /// A connection was closed before its HELLO was accepted, to make room for a new one.
    fn connection_made_room(&self) {}

    /// A connection was refused, because every place belonged to a known client.
    fn connection_refused(&self) {}

    /// A command was refused before it had arrived as a whole, for want of memory for such
    /// commands.
    fn arriving_command_refused(&self) {}

    /// A command that had arrived was refused, for want of memory for unanswered commands.
    fn unanswered_command_refused(&self) {}

    /// So many more pushes were refused, because the disk is nearly full.
    fn pushes_refused(&self, _count: u64) {}

    /// So many bytes are free on the disk of the store. Called about once a second.
    fn disk_free(&self, _bytes: u64) {}

    /// So much of the store was found not to be what was written. Called about once a second.
    fn set_aside(&self, _found: SetAside) {}

    /// What is known of the remembered ids, and how many pushes since the last call stored nothing
    /// because theirs were. Called about once a second.
    fn remembered_ids(&self, _now: RememberedIds, _duplicates: u64) {}
}
