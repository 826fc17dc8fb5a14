//! The memory for a line that has not arrived as a whole. Every connection has a little for itself;
//! what a longer line needs comes out of the budget of all connections, step by step, and goes back
//! when the line is complete.

use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::catching_up::is_readable;
use crate::budget::{Budget, Share};

/// The fewest free bytes of the buffer before a read.
const FREE_MIN: usize = 4 << 10;
/// The most bytes of a read. What lies behind the end of a long line is copied.
const READ_MAX: usize = 64 << 10;
/// The sizes of the buffer: a line of the first two is for nothing. The next size is that of the
/// longest line: the system gives memory only to the part that is written to, and a buffer that
/// grows further would be held twice while it is copied.
const SIZES: [usize; 4] = [16 << 10, FREE_OF_BUDGET, 256 << 10, 1 << 20];
/// The bytes of a line that do not count in the budget: longer than nearly every command.
const FREE_OF_BUDGET: usize = 64 << 10;
/// Beyond the largest of these sizes, the share of the budget grows by so many bytes.
const STEP: usize = 1 << 20;
/// While others wait for memory, a line that takes up a share must grow by `BYTES_MIN` in each
/// `LOOK`: 64 KiB/s, which carries the longest line in 17 minutes.
const LOOK: Duration = Duration::from_secs(5);
const BYTES_MIN: usize = 320 << 10;

/// What a connection has for its line.
pub(super) struct LineMemory {
    share: Share,
    /// The bytes that the buffer may hold.
    granted: usize,
    /// The size of the buffer's memory.
    size: usize,
    /// The size for the longest line.
    largest: usize,
    look: Instant,
    seen: usize,
}

impl LineMemory {
    /// The memory for lines of up to `max_line_bytes`, with a buffer that has a size already.
    pub(super) fn new(budget: &Budget, max_line_bytes: usize, size: usize) -> Self {
        Self {
            share: budget.share(),
            granted: FREE_OF_BUDGET,
            size,
            largest: largest(max_line_bytes),
            look: Instant::now(),
            seen: 0,
        }
    }

    /// True where room for a read behind so many bytes needs nothing more of the budget.
    pub(super) const fn is_granted(&self, bytes: usize) -> bool {
        bytes + FREE_MIN <= self.granted
    }

    /// Makes room in the buffer, and waits for the budget where needed. Returns the bytes that may
    /// be read. Cancel safe.
    pub(super) async fn make_room(&mut self, buffer: &mut BytesMut) -> usize {
        let needed = buffer.len() + FREE_MIN;
        if !self.is_granted(buffer.len()) {
            let granted = match SIZES.into_iter().find(|size| *size >= needed) {
                Some(size) => size,
                None => needed.div_ceil(STEP) * STEP,
            };
            let was_empty = self.share.is_empty();
            self.share.grow_to(granted).await;
            if was_empty {
                (self.look, self.seen) = (Instant::now() + LOOK, buffer.len());
            }
            self.granted = granted;
        }
        if !buffer.try_reclaim(FREE_MIN) {
            let fits = SIZES.into_iter().find(|size| *size >= needed);
            self.move_to(buffer, fits.unwrap_or_else(|| self.largest.max(needed)));
        }
        (self.granted - buffer.len()).min(READ_MAX)
    }

    /// Gives back what the last line has taken up. To be called once that line is no longer needed.
    pub(super) fn line_is_done(&mut self, buffer: &mut BytesMut) {
        let [smallest, ..] = SIZES;
        // The next lines may lie behind this one. They are moved once, not for each line.
        if self.size > smallest && (buffer.is_empty() || !self.share.is_empty()) {
            self.move_to(buffer, smallest.max(buffer.len()));
        }
        self.share.clear();
        self.granted = FREE_OF_BUDGET;
    }

    fn move_to(&mut self, buffer: &mut BytesMut, size: usize) {
        let mut moved = BytesMut::with_capacity(size);
        moved.extend_from_slice(buffer);
        (*buffer, self.size) = (moved, size);
    }

    /// Waits until the line has come too slowly for what it takes up, while others wait. Cancel
    /// safe.
    pub(super) async fn is_too_slow(&mut self, stream: &TcpStream, bytes: usize) {
        if self.share.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep_until(self.look).await;
            let came = bytes.saturating_sub(self.seen);
            (self.look, self.seen) = (Instant::now() + LOOK, bytes);
            if came < BYTES_MIN && self.share.budget().waiting() > 0 && !is_readable(stream) {
                return;
            }
        }
    }

    pub(super) const fn budget(&self) -> &Budget {
        self.share.budget()
    }
}

/// The memory that a line of up to `max_line_bytes` can take: its ending, and what a read brings
/// beyond it, come on top.
pub(crate) const fn largest(max_line_bytes: usize) -> usize {
    max_line_bytes + 2 + READ_MAX + FREE_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: usize = 64 << 20;

    #[tokio::test]
    async fn a_short_line_takes_nothing_of_the_budget_and_a_long_one_what_it_has_read() {
        let budget = Budget::new(512 << 20, largest(LINE));
        let mut memory = LineMemory::new(&budget, LINE, 0);
        let mut buffer = BytesMut::new();
        let read = |buffer: &mut BytesMut, most: usize| buffer.extend((0..most).map(|_| b'x'));
        while buffer.len() < FREE_OF_BUDGET - FREE_MIN {
            let most = memory.make_room(&mut buffer).await;
            read(&mut buffer, most.min(FREE_MIN));
        }
        assert_eq!(budget.used(), 0);
        while buffer.len() < 5 << 20 {
            let most = memory.make_room(&mut buffer).await;
            read(&mut buffer, most);
            assert!(buffer.len() <= budget.used().max(FREE_OF_BUDGET), "{}", buffer.len());
        }
        assert!(budget.used() <= buffer.len() + STEP + FREE_MIN);
        let rest = buffer.len() - 7;
        drop(buffer.split_to(rest));
        memory.line_is_done(&mut buffer);
        assert_eq!((budget.used(), buffer.as_ref()), (0, b"xxxxxxx".as_slice()));
        assert!(buffer.capacity() <= 16 << 10);
    }
}
