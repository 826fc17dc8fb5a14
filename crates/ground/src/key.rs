//! Keys.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The most bytes in a key.
pub const KEY_BYTES_MAX: usize = 31;

/// A key: up to [`KEY_BYTES_MAX`] bytes, held in place. Keys sort as their bytes do.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Key {
    // The padding is zero. So two keys sort as their bytes do, and where one is the other and
    // zeros, by their lengths.
    bytes: [u8; KEY_BYTES_MAX],
    length: u8,
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.words().cmp(&other.words())
    }
}

impl PartialOrd for Key {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (first, second) = self.words();
        state.write_u128(first);
        state.write_u128(second);
    }
}

impl Key {
    /// The first of all keys.
    pub const FIRST: Self = Self { bytes: [0; KEY_BYTES_MAX], length: 0 };
    /// The last of all keys.
    pub const LAST: Self = Self { bytes: [0xFF; KEY_BYTES_MAX], length: KEY_BYTES_MAX as u8 };

    /// A key of these bytes; `None` where there are too many.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut key = Self::FIRST;
        key.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        key.length = u8::try_from(bytes.len()).ok()?;
        Some(key)
    }

    /// The next key: no key stands between the two. That of the last one is itself.
    #[must_use]
    pub fn behind(&self) -> Self {
        match KEY_BYTES_MAX - usize::from(self.length) {
            0 => self.above(),
            _ => Self { length: self.length + 1, ..*self },
        }
    }

    /// The next key of the same, full length.
    fn above(&self) -> Self {
        let mut key = *self;
        for byte in key.bytes.iter_mut().rev() {
            let (next, overflows) = byte.overflowing_add(1);
            *byte = next;
            if !overflows {
                return key;
            }
        }
        Self::LAST
    }

    /// Two numbers that sort as the key does: a call that compares bytes would take longer.
    #[inline]
    fn words(&self) -> (u128, u128) {
        let mut all = [self.length; KEY_BYTES_MAX + 1];
        all.iter_mut().zip(self.bytes).for_each(|(to, from)| *to = from);
        let [first, second] = [0, 16].map(|at| {
            all.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default()
        });
        (u128::from_be_bytes(first), u128::from_be_bytes(second))
    }

    /// The first byte; `None` of the empty key.
    pub(crate) fn first_byte(&self) -> Option<u8> {
        self.as_slice().first().copied()
    }

    /// The key that prints as this text; `None` where there is none.
    pub(crate) fn from_hexadecimal(text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
        let bytes = pairs.iter().map(byte).collect::<Option<Vec<_>>>()?;
        rest.is_empty().then(|| Self::new(&bytes)).flatten()
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Key {
    /// In hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_bytes() {
        let mut texts: Vec<&[u8]> =
            vec![b"", b"\0", b"\0\0", b"\0\x01", b"a", b"a\0", b"a\0\0", b"a\0b", b"ab", b"b"];
        texts.push(&[0xFF; KEY_BYTES_MAX]);
        let keys: Vec<_> = texts.iter().map(|text| Key::new(text).unwrap()).collect();
        assert!(keys.is_sorted() && keys.windows(2).all(|pair| pair[0] != pair[1]));
        for (key, text) in keys.iter().zip(texts) {
            assert_eq!(key.as_slice(), text);
            assert!((Key::FIRST..=Key::LAST).contains(key));
        }
        assert_eq!(Key::new(b"a").unwrap().behind(), Key::new(b"a\0").unwrap());
        let full = |last| Key::new(&[vec![1; KEY_BYTES_MAX - 1], vec![last]].concat()).unwrap();
        assert_eq!(full(7).behind(), full(8));
        assert_eq!(Key::LAST.behind(), Key::LAST);
        assert_eq!(Key::new(&[0; KEY_BYTES_MAX + 1]), None);
    }
}
