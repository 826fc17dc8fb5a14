//! A filter: says of most keys that a file does not have that it does not have them, without
//! reading the file.
//!
//! It is the split-block Bloom filter of Apache Parquet
//! (<https://github.com/apache/parquet-format/blob/master/BloomFilter.md>), which took it from
//! Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters" (2007), but for
//! the hash, which is XXH3 here. A key sets one bit in each of the eight words of one block, so a
//! look touches one line of the processor's cache.

use xxhash_rust::xxh3::xxh3_64;

use crate::Key;

/// The bits for each key. With 10 of them one key in 80 is taken for one that is there (measured,
/// 1.26 %); so a look into eight files that lack the key reads a block once in ten times.
const BITS_PER_KEY: u64 = 10;
/// The bytes of a block.
const BLOCK_BYTES: usize = 32;
/// The multipliers of Parquet's specification, one for each word of a block.
const SALT: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

/// A block, which lies in one line of the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(align(32))]
struct Block([u32; 8]);

/// A filter of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    blocks: Vec<Block>,
}

/// What a filter knows a key by.
pub(super) fn hash(key: &Key) -> u64 {
    xxh3_64(key.as_slice())
}

/// The bit of a hash in each word of its block.
fn mask(hash: u64) -> [u32; 8] {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    let low = hash as u32;
    SALT.map(|salt| 1 << (low.wrapping_mul(salt) >> 27))
}

impl Filter {
    /// A filter of these hashes.
    pub(super) fn of(hashes: &[u64]) -> Self {
        let bits = (hashes.len() as u64).saturating_mul(BITS_PER_KEY);
        let blocks = bits.div_ceil(8 * BLOCK_BYTES as u64).max(1);
        let blocks = usize::try_from(blocks).unwrap_or(usize::MAX);
        let mut filter = Self { blocks: vec![Block::default(); blocks] };
        hashes.iter().for_each(|hash| filter.insert(*hash));
        filter
    }

    /// The place of a hash's block: the upper half of the hash, as a part of all blocks.
    fn place(&self, hash: u64) -> usize {
        let place = ((hash >> 32) * self.blocks.len() as u64) >> 32;
        usize::try_from(place).unwrap_or(0)
    }

    fn insert(&mut self, hash: u64) {
        let place = self.place(hash);
        let Some(Block(words)) = self.blocks.get_mut(place) else { return };
        words.iter_mut().zip(mask(hash)).for_each(|(word, bit)| *word |= bit);
    }

    /// False where the key is not among those of the filter for certain.
    pub(super) fn may_have(&self, key: &Key) -> bool {
        let hash = hash(key);
        let block = self.blocks.get(self.place(hash));
        let has_all =
            |words: &[u32; 8]| words.iter().zip(mask(hash)).all(|(word, bit)| word & bit != 0);
        block.is_none_or(|Block(words)| has_all(words))
    }

    /// The bytes that it takes, in memory and in a file.
    pub(crate) const fn bytes(&self) -> usize {
        self.blocks.len() * BLOCK_BYTES
    }

    /// As it stands in a file: the words, little-endian.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let words = self.blocks.iter().flat_map(|Block(words)| words);
        words.for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    }

    /// The filter that was written as these bytes; `None` where they are none.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        if blocks.is_empty() || !rest.is_empty() {
            return None;
        }
        let block = |bytes: &[u8; BLOCK_BYTES]| {
            let mut block = Block::default();
            let words = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
            block.0.iter_mut().zip(words).for_each(|(word, read)| *word = read);
            block
        };
        Some(Self { blocks: blocks.iter().map(block).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_are_those_of_parquet() {
        // XXH64 of the texts a0 to a9, and the filter of one block that parquet-mr makes of them.
        let hashes = [
            0xf095_e781_a712_5e70,
            0xfbe5_503c_b106_ea90,
            0xa00c_ac98_0a7d_134b,
            0x4a74_6963_01aa_2dd9,
            0xd2a1_705a_1932_7639,
            0x92ac_73a4_cd78_f47c,
            0xbf42_2495_5bef_1ae7,
            0x4068_9862_8bb0_1dd2,
            0xf9b2_6498_849f_68e5,
            0xf1e2_f8e0_d324_8d35,
        ];
        let expected = [
            200, 1, 80, 20, 64, 68, 8, 109, 6, 37, 4, 67, 144, 80, 96, 32, 8, 132, 43, 33, 0, 5,
            99, 65, 2, 0, 224, 44, 64, 78, 96, 4,
        ];
        let mut filter = Filter { blocks: vec![Block::default()] };
        hashes.into_iter().for_each(|hash| filter.insert(hash));
        let mut bytes = Vec::new();
        filter.write(&mut bytes);
        assert_eq!(bytes, expected);
        assert_eq!(Filter::read(&bytes), Some(filter));
        assert_eq!(Filter::read(&bytes[..31]), None);
        assert_eq!(Filter::read(&[]), None);
    }

    #[test]
    fn a_filter_knows_its_keys_and_few_others() {
        let key = |number: u64| Key::new(&number.to_be_bytes()).unwrap();
        let hashes: Vec<_> = (0..100_000).map(|number| hash(&key(number))).collect();
        let filter = Filter::of(&hashes);
        assert_eq!(filter.bytes(), (100_000 * 10_usize).div_ceil(256) * 32);
        assert!((0..100_000).all(|number| filter.may_have(&key(number))));
        let others = (100_000..200_000).filter(|number| filter.may_have(&key(*number))).count();
        assert!((500..1_500).contains(&others), "{others}");
        assert!(!Filter::of(&[]).may_have(&key(1)));
    }
}
