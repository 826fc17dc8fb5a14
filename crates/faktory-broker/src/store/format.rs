//! The version of what stands in the tables.

use super::StoreError;

/// The version of the keys and values. A store of another version is not opened.
pub(crate) const VERSION: u32 = 1;
/// The name in the table meta under which the version stands.
pub(crate) const KEY: &[u8] = b"format";

/// Refuses a version that is not that of this program.
pub(crate) fn check(found: &[u8]) -> Result<(), StoreError> {
    if *found == VERSION.to_be_bytes() {
        return Ok(());
    }
    let found = <[u8; 4]>::try_from(found)
        .map_or_else(|_| "unknown".into(), |bytes| u32::from_be_bytes(bytes).to_string());
    Err(StoreError::Format { found, expected: VERSION })
}
