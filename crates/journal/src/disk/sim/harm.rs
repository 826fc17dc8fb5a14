//! Damage to the files of a simulated disk.

use super::SimDisk;

/// What [`SimDisk::harm`] overwrites at a time.
const PAGE: usize = 4096;

impl SimDisk {
    /// Harms a file in a random way, and says how: a bit, a page, its end, the whole file, or
    /// another file in its place.
    #[must_use]
    pub fn harm(&self, name: &str, random: &mut fastrand::Rng) -> String {
        let mut bytes = self.bytes(name).unwrap_or_default();
        let at = random.usize(..bytes.len().max(1));
        let harm = match random.u8(..6) {
            0 | 1 => {
                let bit = random.u8(..8);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
                format!("a bit of {name} at {at}")
            }
            2 => {
                let (page, filling) = (at / PAGE * PAGE, random.u8(..));
                bytes.iter_mut().skip(page).take(PAGE).for_each(|byte| *byte = filling);
                format!("a page of {name} at {page}")
            }
            3 => {
                bytes.truncate(at);
                format!("{name} cut at {at}")
            }
            4 => {
                let inner = &mut *self.lock();
                inner.names.remove(name);
                inner.durable_names.remove(name);
                return format!("{name} removed");
            }
            _ => {
                let names: Vec<_> = self.lock().names.keys().cloned().collect();
                let other = names.get(random.usize(..names.len().max(1)));
                bytes = other.and_then(|other| self.bytes(other)).unwrap_or_default();
                format!("{name} is a copy of {other:?}")
            }
        };
        self.set_bytes(name, bytes);
        harm
    }
}
