//! The store of an earlier version is carried over, once.

use std::path::Path;
use std::time::SystemTime;

use faktory_wire::Excerpt;

use super::super::old::{self, OldPair, OldStore};
use super::super::{Change, Store, StoreError, Table, format};
use super::{GroundStore, new};

/// Says in the data folder when the old store was carried over.
const MARK: &str = "carried-over";
/// So many pairs are read at a time.
const PAIRS_AT_ONCE: usize = 100;
/// A record of the new store has so many bytes, and those of the pairs that were read last.
const BYTES_AT_ONCE: usize = 8 << 20;

/// Copies the store of an earlier version. Until the copy is complete and durable it has another
/// name, so that a crash leaves nothing but the old store.
pub(super) fn carry_over(folder: &Path) -> Result<(), StoreError> {
    let old = OldStore::open(folder)?;
    let is_format = |pair: &&OldPair| pair.0 == format::KEY;
    if let Some((_, found)) = old.pairs(Table::Meta, format::KEY, 1)?.iter().find(is_format) {
        format::check(found)?;
    }
    tracing::info!(
        old = %Excerpt(old.folder().display()),
        "carrying over the store of an earlier version; this takes a while and as much room on \
         the disk again"
    );
    let jobs =
        new::make_new(folder, |new| GroundStore::fill(folder, new, |store| copy(&old, store)))?;
    let old_folder = old.folder().to_owned();
    drop(old);
    std::fs::write(folder.join(MARK), "the store in fjall was carried over into store\n")
        .map_err(StoreError::Folder)?;
    new::finish(folder)?;
    tracing::info!(
        jobs,
        old = %Excerpt(old_folder.display()),
        "the store of an earlier version was carried over; its folder is left as it was, is no \
         longer used, and may be removed"
    );
    Ok(())
}

/// The number of jobs that were copied.
fn copy(old: &OldStore, store: &mut GroundStore) -> Result<usize, StoreError> {
    let mut jobs = 0;
    for table in old::TABLES {
        let mut from = Vec::new();
        loop {
            let pairs = old.pairs(table, &from, PAIRS_AT_ONCE)?;
            let Some((last, _)) = pairs.last() else { break };
            from.clone_from(last);
            from.push(0);
            jobs += if table == Table::Bodies { pairs.len() } else { 0 };
            for (name, value) in pairs {
                if name.len() > Table::NAME_BYTES_MAX {
                    return Err(StoreError::Corrupt("a key is too long"));
                }
                store.put(Change::Put(table.key(name), value.into()));
                if store.uncommitted_bytes() >= BYTES_AT_ONCE {
                    store.commit()?;
                }
            }
        }
    }
    store.commit()?;
    Ok(jobs)
}

/// Warns where an earlier version has written into the old store after it was carried over: what
/// it took is not in the new one.
pub(super) fn warn_of_later_use(folder: &Path) {
    if was_used_later(folder) {
        tracing::error!(
            folder = %Excerpt(folder.display()),
            "an earlier version has used the folder fjall after it was carried over: jobs that it \
             took then are only there, beside all that were there before, and only that version \
             can run them"
        );
    }
}

fn was_used_later(folder: &Path) -> bool {
    let mark = std::fs::metadata(folder.join(MARK)).and_then(|mark| mark.modified());
    let last = OldStore::last_written(folder);
    mark.is_ok_and(|mark| last.is_some_and(|last: SystemTime| last > mark))
}

#[cfg(test)]
mod tests {
    use super::super::super::old;
    use std::sync::Arc;

    use super::super::FOLDER;
    use super::*;

    #[test]
    fn an_old_store_that_is_used_after_it_was_carried_over_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let pair = |name: u8| [(Table::Bodies, vec![name], b"value".to_vec())];
        old::write(folder.path(), &pair(1));
        drop(GroundStore::open(folder.path(), Arc::new(|| {})).unwrap());
        assert!(folder.path().join(MARK).exists() && !was_used_later(folder.path()));
        old::write(folder.path(), &pair(2));
        assert!(was_used_later(folder.path()));
    }

    #[test]
    fn an_old_store_of_another_format_is_refused_and_not_carried_over() {
        let folder = tempfile::tempdir().unwrap();
        let format = (Table::Meta, format::KEY.to_vec(), 999_u32.to_be_bytes().to_vec());
        old::write(folder.path(), &[format]);
        let opened = GroundStore::open(folder.path(), Arc::new(|| {}));
        assert!(matches!(opened, Err(StoreError::Format { found, .. }) if found == "999"));
        assert!(!folder.path().join(FOLDER).exists() && !folder.path().join("store.new").exists());
    }
}
