//! The head of a segment: 4 KiB, of which 48 bytes are used.

use xxhash_rust::xxh3::xxh3_64;

/// The first record of a segment begins here.
pub(crate) const RECORDS_AT: usize = 4096;

const MAGIC: [u8; 8] = *b"WFsegm01";
const ENDING: &str = ".segment";
const CHECKED: usize = 32;

/// Who a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The journal.
    pub(crate) journal: u64,
    pub(crate) id: u64,
    pub(crate) salt: u64,
}

/// The name of the file.
pub(crate) fn name(id: u64) -> String {
    format!("{id:016x}{ENDING}")
}

/// The id in the name of a file, where it is that of a segment.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(ENDING)?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

pub(crate) fn encode(identity: Identity) -> Vec<u8> {
    let mut page = MAGIC.to_vec();
    for word in [identity.journal, identity.id, identity.salt] {
        page.extend_from_slice(&word.to_le_bytes());
    }
    page.extend_from_slice(&xxh3_64(&page).to_le_bytes());
    page.resize(RECORDS_AT, 0);
    page
}

/// `None` where the head is not one.
pub(crate) fn decode(page: &[u8]) -> Option<Identity> {
    let word = |at: usize| Some(u64::from_le_bytes(page.get(at..at + 8)?.try_into().ok()?));
    let is_whole = page.starts_with(&MAGIC) && xxh3_64(page.get(..CHECKED)?) == word(CHECKED)?;
    if !is_whole {
        return None;
    }
    Some(Identity { journal: word(8)?, id: word(16)?, salt: word(24)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_names_are_read_back() {
        let identity = Identity { journal: 1, id: 0xAB, salt: u64::MAX };
        let mut page = encode(identity);
        assert_eq!(page.len(), RECORDS_AT);
        assert_eq!(decode(&page), Some(identity));
        page[20] ^= 1;
        assert_eq!(decode(&page), None);
        assert_eq!(name(0xAB), "00000000000000ab.segment");
        assert_eq!(id_of("00000000000000ab.segment"), Some(0xAB));
        assert_eq!(id_of("ab.segment"), None);
        assert_eq!(id_of("00000000000000ab.segment.new"), None);
    }
}
