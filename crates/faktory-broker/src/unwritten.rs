//! What a connection tells the core about its replies: how many bytes have been written to the
//! socket. The core asks when it needs to know, and is woken only where it waits for room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The bytes of replies that a connection has written, as the machine counts them.
#[derive(Debug, Clone, Default)]
pub(crate) struct WrittenBytes(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicU64,
    is_awaited: AtomicBool,
}

impl WrittenBytes {
    /// Counts replies that were written; true where the core waits to be told.
    pub(crate) fn add(&self, bytes: u64) -> bool {
        self.0.bytes.fetch_add(bytes, Ordering::SeqCst);
        self.0.is_awaited.swap(false, Ordering::SeqCst)
    }

    /// The bytes since the beginning of the connection.
    pub(crate) fn get(&self) -> u64 {
        self.0.bytes.load(Ordering::SeqCst)
    }

    /// Asks to be told of the next bytes. Bytes that are counted meanwhile are seen by a later
    /// [`Self::get`].
    pub(crate) fn await_more(&self) {
        self.0.is_awaited.store(true, Ordering::SeqCst);
    }
}
