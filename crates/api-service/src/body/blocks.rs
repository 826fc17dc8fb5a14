//! The bytes of a body as they come, in blocks: one piece of memory that grows would be copied
//! again and again, 16 MiB at a time, on a thread that serves others too.

/// The bytes of a block, unless more come at once. The first one grows to it. It is more than what
/// the allocator keeps (`allocator::return_large_blocks`), so that the memory of bodies goes back
/// to the system when they are gone.
const BLOCK_BYTES: usize = 5 << 20;

/// Bytes in blocks.
pub(super) struct Blocks {
    /// The last one has room; the others are full.
    blocks: Vec<Vec<u8>>,
    len: usize,
    allocated: usize,
    /// The bytes that will come at the most.
    size_max: usize,
}

impl Blocks {
    /// None yet of a body of so many bytes at the most; the first block has room for so many.
    pub(super) fn for_size(size_max: usize, first: usize) -> Self {
        let first = Vec::with_capacity(size_max.min(first));
        Self { len: 0, allocated: first.capacity(), blocks: vec![first], size_max }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    fn room(&self) -> usize {
        self.allocated - self.len
    }

    /// True where the first block is the only one, and grows.
    const fn grows(&self) -> bool {
        self.allocated < BLOCK_BYTES
    }

    /// The capacity of the first block, or of a next one, that takes so many bytes.
    fn capacity_for(&self, bytes: usize) -> usize {
        if self.grows() {
            (2 * self.allocated).min(self.size_max).min(BLOCK_BYTES).max(bytes)
        } else {
            BLOCK_BYTES.max(bytes)
        }
    }

    /// What is allocated once so many bytes more are there.
    pub(super) fn allocated_with(&self, more: usize) -> usize {
        match more.saturating_sub(self.room()) {
            0 => self.allocated,
            _ if self.grows() => self.capacity_for(self.len + more),
            beyond => self.allocated + self.capacity_for(beyond),
        }
    }

    pub(super) fn append(&mut self, data: &[u8]) {
        if self.grows() && data.len() > self.room() {
            let capacity = self.capacity_for(self.len + data.len());
            if let Some(first) = self.blocks.last_mut() {
                first.reserve_exact(capacity - first.len());
                self.allocated = first.capacity();
            }
        }
        let (here, beyond) = data.split_at(data.len().min(self.room()));
        if let Some(last) = self.blocks.last_mut() {
            last.extend_from_slice(here);
        }
        if !beyond.is_empty() {
            let mut block = Vec::with_capacity(self.capacity_for(beyond.len()));
            block.extend_from_slice(beyond);
            self.allocated += block.capacity();
            self.blocks.push(block);
        }
        self.len += data.len();
    }

    /// All bytes as one piece. Each block is given back when it is copied.
    pub(super) fn join(mut self) -> Vec<u8> {
        if self.blocks.len() == 1 {
            return self.blocks.pop().unwrap_or_default();
        }
        let mut all = Vec::with_capacity(self.len);
        for block in self.blocks {
            all.extend_from_slice(&block);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appends pieces of these sizes, and looks whether what was foretold is allocated.
    fn of_pieces(mut blocks: Blocks, sizes: &[usize]) -> (Blocks, Vec<u8>) {
        let mut expected = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let piece = vec![b'a' + (number % 26) as u8; *size];
            let foretold = blocks.allocated_with(*size);
            blocks.append(&piece);
            expected.extend(piece);
            assert_eq!(blocks.allocated, foretold);
            assert_eq!(blocks.allocated, blocks.blocks.iter().map(Vec::capacity).sum::<usize>());
            assert_eq!(blocks.len(), expected.len());
        }
        (blocks, expected)
    }

    #[test]
    fn the_bytes_come_out_as_they_came_and_long_blocks_do_not_move() {
        for sizes in [
            &[0][..],
            &[3, 0, 7],
            &[10, 1],
            &[1_000_000, 1, 2],
            &[9; 100],
            &[100_000; 130],
            &[BLOCK_BYTES, BLOCK_BYTES - 1, 2, BLOCK_BYTES + 1],
        ] {
            let (blocks, expected) = of_pieces(Blocks::for_size(64 << 20, 10), sizes);
            let long = expected.len().div_ceil(BLOCK_BYTES).max(1);
            assert_eq!(blocks.blocks.len(), long, "{sizes:?}");
            assert!(blocks.join() == expected, "{sizes:?}");
        }
    }

    #[test]
    fn no_more_is_allocated_than_a_short_body_may_have() {
        let (blocks, _) = of_pieces(Blocks::for_size(300_000, 65_536), &[1000; 300]);
        assert_eq!(blocks.allocated, 300_000);
        let (blocks, _) = of_pieces(Blocks::for_size(20, 65_536), &[5; 4]);
        assert_eq!((blocks.allocated, blocks.blocks.len()), (20, 1));
    }
}
