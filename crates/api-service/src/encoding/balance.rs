//! What a decoder has taken and given: input that holds little costs time and brings nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fault::{BARREN_BYTES, ENCODED_PER_DECODED, FREE_BYTES, Fault};

/// The bytes of one body, shared by the two ends of its decoder.
#[derive(Debug, Clone, Default)]
pub(super) struct Balance(Arc<Bytes>);

#[derive(Debug, Default)]
struct Bytes {
    taken: AtomicUsize,
    given: AtomicUsize,
    /// Taken since the decoder last gave anything.
    barren: AtomicUsize,
}

impl Balance {
    /// The decoder gave so many bytes.
    pub(super) fn gives(&self, bytes: usize) {
        if bytes > 0 {
            self.0.given.fetch_add(bytes, Ordering::Relaxed);
            self.0.barren.store(0, Ordering::Relaxed);
        }
    }

    /// The decoder is about to take so many bytes.
    ///
    /// # Errors
    /// Where the body holds too little.
    pub(super) fn takes(&self, bytes: usize) -> Result<(), Fault> {
        let taken = self.0.taken.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let given = self.0.given.load(Ordering::Relaxed);
        if taken > given.saturating_mul(ENCODED_PER_DECODED).saturating_add(FREE_BYTES) {
            return Err(Fault::HoldsLittle);
        }
        let barren = self.0.barren.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if barren > BARREN_BYTES { Err(Fault::Barren) } else { Ok(()) }
    }
}
