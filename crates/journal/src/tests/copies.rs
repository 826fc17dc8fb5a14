//! Copies of a journal that goes on meanwhile.

use std::sync::{Arc, Mutex};

use super::{Read, reopen};
use crate::sim::{SimDisk, Watched, Watcher};
use crate::{CopyError, Log, Number, copy};

/// Cuts a journal when its first segment is opened.
struct Cutting(Mutex<Option<Read>>);

impl Watcher for Cutting {
    fn opens(&self, _: &SimDisk, name: &str) {
        if name == "manifest" {
            return;
        }
        let Some(mut log) = self.0.lock().unwrap().take() else { return };
        // The segment is finished, and goes.
        while log.append(&[2; 5000]) < Number(20) {}
        let durable = log.sync();
        log.log.cut(durable);
        while log.log.work() {}
    }
}

#[test]
fn a_journal_that_is_cut_while_it_is_copied_is_told_as_cut_and_not_as_damaged() {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    log.append(&[1; 5000]);
    log.sync();
    let watcher = Arc::new(Cutting(Mutex::new(Some(log))));
    let from = Watched { disk, watcher };
    let copied = copy(&from, &SimDisk::default(), Number(1));
    assert!(matches!(copied, Err(CopyError::Cut)), "{copied:?}");
}
