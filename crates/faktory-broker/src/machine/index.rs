//! Look-ups by job id: entries of a set are found through the index. Several jobs may have the same
//! id, so a look-up can find several entries. An entry of a set and its entry of the index are
//! written and deleted in one batch; an entry of the index that points to no entry of the set is
//! ignored.

use super::keys::{self, EntryKey, Location};
use super::records::Entry;
use crate::store::{Store, StoreError, Table, name_of};

/// An entry of a set, with its key.
pub(super) type Found = (EntryKey, Entry);

/// The reservation of this job id that was made first.
pub(super) fn oldest_reservation(
    store: &dyn Store,
    jid: &str,
) -> Result<Option<Found>, StoreError> {
    let hash = keys::id_hash(jid);
    let (from, to) =
        (keys::index_prefix(Location::Working, &hash), keys::index_limit(Location::Working, &hash));
    let Some((index_key, due)) = store.range(Table::Index, &from, &to, 1)?.pop() else {
        return Ok(None);
    };
    let key = entry_key(name_of(&index_key), &due)?;
    let Some(entry) = store.get(Table::Sets, &keys::set(Location::Working, key))? else {
        return Ok(None);
    };
    Ok(Some((key, Entry::decode(&entry)?)))
}

/// The reservation of this job id that has this number.
pub(super) fn reservation(
    store: &dyn Store,
    jid: &str,
    number: u64,
) -> Result<Option<Found>, StoreError> {
    let index_key = keys::index(Location::Working, &keys::id_hash(jid), number);
    let Some(due) = store.get(Table::Index, &index_key)? else { return Ok(None) };
    let key = entry_key(&index_key, &due)?;
    let Some(entry) = store.get(Table::Sets, &keys::set(Location::Working, key))? else {
        return Ok(None);
    };
    Ok(Some((key, Entry::decode(&entry)?)))
}

/// Up to `limit` entries of this job id whose number is larger than `after`; and the last number,
/// where there may be more entries.
pub(super) fn entries_of(
    store: &dyn Store,
    location: Location,
    jid: &str,
    after: Option<u64>,
    limit: usize,
) -> Result<(Vec<Found>, Option<u64>), StoreError> {
    let hash = keys::id_hash(jid);
    // The first number is larger than 0.
    let from = keys::index(location, &hash, after.map_or(0, |number| number.saturating_add(1)));
    let pairs = store.range(Table::Index, &from, &keys::index_limit(location, &hash), limit)?;
    let mut found = Vec::new();
    let mut last = None;
    for (index_key, due) in &pairs {
        let key = entry_key(name_of(index_key), due)?;
        last = Some(key.number);
        if let Some(entry) = store.get(Table::Sets, &keys::set(location, key))? {
            found.push((key, Entry::decode(&entry)?));
        }
    }
    Ok((found, last.filter(|_| pairs.len() >= limit)))
}

fn entry_key(index_key: &[u8], due: &[u8]) -> Result<EntryKey, StoreError> {
    match (keys::due_of(due), keys::number_of(index_key)) {
        (Some(due), Some(number)) => Ok(EntryKey { due, number }),
        _ => Err(StoreError::Corrupt("index")),
    }
}
