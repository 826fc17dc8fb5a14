//! UUIDs of version 7 (RFC 9562), as our API writes them: 32 digits in lower-case hex.

/// A UUID of version 7: it begins with the milliseconds since 1970 at which it was made, and 74 of
/// its bits are random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::machine) struct Uuid(pub(super) [u8; 16]);

impl Uuid {
    pub(super) const FIRST: Self = Self([0; 16]);

    /// Reads an id; `None` where it is another one.
    pub(super) fn parse(id: &str) -> Option<Self> {
        let (pairs, []) = id.as_bytes().as_chunks::<2>() else { return None };
        let mut bytes = [0; 16];
        if pairs.len() != bytes.len() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        let [_, _, _, _, _, _, version, _, variant, ..] = bytes;
        (version >> 4 == 7 && variant >> 6 == 0b10).then_some(Self(bytes))
    }

    /// The whole seconds since 1970 at which it was made.
    pub(super) fn seconds(&self) -> i64 {
        let milliseconds = self.0.iter().take(6).fold(0, |time, byte| time << 8 | i64::from(*byte));
        milliseconds / 1000
    }

    /// One that comes before all that could be made in this second or later.
    pub(super) fn first_of(second: i64) -> Self {
        let milliseconds = u64::try_from(second).unwrap_or(0).saturating_mul(1000);
        let mut bytes = [0; 16];
        let time = milliseconds.min((1 << 48) - 1).to_be_bytes();
        bytes.iter_mut().zip(time.into_iter().skip(2)).for_each(|(to, from)| *to = from);
        Self(bytes)
    }

    /// The next one.
    pub(super) const fn next(self) -> Self {
        Self(u128::from_be_bytes(self.0).saturating_add(1).to_be_bytes())
    }
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_digits_of_version_7_are_one() {
        let id = "017f22e279b07cc398c4dc0c0c07398f";
        let uuid = Uuid::parse(id).unwrap();
        // The example of RFC 9562, made at 2022-02-22T19:22:22Z.
        assert_eq!(uuid.seconds(), 1_645_557_742);
        for other in [
            "017F22E279B07CC398C4DC0C0C07398F",
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
            "017f22e279b04cc398c4dc0c0c07398f",
            "017f22e279b07cc3c8c4dc0c0c07398f",
            "017f22e279b07cc398c4dc0c0c07398f00",
            "017f22e279b07cc398c4dc0c0c07398",
            "",
        ] {
            assert_eq!(Uuid::parse(other), None, "{other}");
        }
        let first = Uuid::first_of(1_645_557_742);
        assert!(first < uuid && uuid < Uuid::first_of(1_645_557_743) && uuid < uuid.next());
        assert_eq!(first.seconds(), 1_645_557_742);
    }
}
