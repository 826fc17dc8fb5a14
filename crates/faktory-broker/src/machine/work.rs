//! The work of one slice. A command may touch many jobs and many bytes; it is carried out in slices
//! of bounded work, and between two slices the commands of other connections are carried out. What
//! is counted is work, not time, so that the machine does the same on every computer.

/// The most steps of a slice: jobs, ids, names and commands. A step takes 5 to 15 µs on disk, so a
/// slice takes some milliseconds.
pub(super) const SLICE_STEPS: usize = 200;
/// The most bytes of a slice: read, written or compared. A single job is read and written as a
/// whole, so that a slice goes beyond by one job at most.
pub(super) const SLICE_BYTES: usize = 1 << 20;

/// What the current slice has done.
#[derive(Debug, Default)]
pub(super) struct Work {
    steps: usize,
    bytes: usize,
    /// What was done since a test last asked.
    #[cfg(test)]
    pub(super) meter: (usize, usize),
}

impl Work {
    /// Begins a slice.
    pub(super) const fn begin(&mut self) {
        self.steps = 0;
        self.bytes = 0;
    }

    pub(super) const fn spend(&mut self, steps: usize, bytes: usize) {
        self.steps += steps;
        self.bytes += bytes;
        #[cfg(test)]
        {
            self.meter.0 += steps;
            self.meter.1 += bytes;
        }
    }

    /// True where the slice is over.
    pub(super) const fn is_spent(&self) -> bool {
        self.steps >= SLICE_STEPS || self.bytes >= SLICE_BYTES
    }

    /// The bytes that are left in the slice.
    pub(super) const fn bytes_left(&self) -> usize {
        SLICE_BYTES.saturating_sub(self.bytes)
    }
}
