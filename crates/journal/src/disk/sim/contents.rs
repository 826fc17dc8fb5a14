//! The bytes of a file of a simulated disk: those in the system's memory, and those on the disk.

/// A sector is written whole or not at all.
const SECTOR: usize = 512;

/// The bytes of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Contents {
    pub(super) now: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// What a loss of power may forget.
    pub(super) unsynced: Vec<(usize, Vec<u8>)>,
}

pub(super) fn write(into: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if into.len() < end {
        into.resize(end, 0);
    }
    if let Some(place) = into.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
}

impl Contents {
    /// The bytes after a loss of power: of each unsynced write any sectors.
    pub(super) fn torn(&self, random: &mut fastrand::Rng) -> Vec<u8> {
        // A disk that keeps nearly all, half, or nearly nothing.
        let share = [0.05, 0.5, 0.95].get(random.usize(..3)).copied().unwrap_or(0.5);
        let mut bytes = self.durable.clone();
        for (at, written) in &self.unsynced {
            let (mut at, mut rest) = (*at, written.as_slice());
            while !rest.is_empty() {
                let count = (SECTOR - at % SECTOR).min(rest.len());
                let (sector, behind) = rest.split_at(count);
                if random.f64() < share {
                    write(&mut bytes, at, sector);
                }
                (at, rest) = (at + count, behind);
            }
        }
        bytes
    }
}
