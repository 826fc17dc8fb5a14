//! Stores in folders, harmed at random: a broker opens one with everything, or refuses it, or says
//! what is missing; and what a repair makes of it opens.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faktory_wire::{Command, Hello};

use super::*;
use crate::machine::{ConnectionId, Machine, Now};
use crate::store::Table;
use crate::verify;

const A: ConnectionId = ConnectionId(1);
const NOW: Now = Now { wall: Timestamp::from_micros(0), monotonic: Duration::ZERO };

fn open(data_dir: &Path) -> Result<GroundStore, StoreError> {
    GroundStore::open(data_dir, Arc::new(|| {}))
}

pub(crate) fn jobs_of(store: &GroundStore) -> BTreeSet<Vec<u8>> {
    let bodies = store.range(Table::Bodies, &[], &[0xFF; 9], usize::MAX).unwrap();
    bodies.iter().map(|(key, _)| store::name_of(key).to_vec()).collect()
}

/// Pushes jobs of some size with these numbers into two queues.
pub(crate) fn push(store: &mut GroundStore, numbers: Range<u64>, size: usize) {
    let mut machine = Machine::open(store, 1, 100).unwrap();
    machine.connect(NOW, A, &Hello::default());
    let args = "x".repeat(size);
    for number in numbers {
        let queue = if number % 2 == 0 { "even" } else { "odd" };
        let push = format!(
            r#"PUSH {{"jid":"job-{number:08}","jobtype":"t","queue":"{queue}","args":["{args}"]}}"#
        );
        machine.submit(store, NOW, A, Command::parse(push.as_bytes())).unwrap();
        machine.settle(store).unwrap();
        machine.take_outputs();
        machine.note_written(|_| u64::MAX);
        store.sync().unwrap();
    }
}

/// A store with this many jobs of some size: sorted files, and a journal behind them.
fn written(data_dir: &Path, jobs: u64, size: usize) {
    let mut store = open(data_dir).unwrap();
    push(&mut store, 0..jobs, size);
    // A process that is killed leaves the journal as it is; the lock goes with the process.
    store.close().unwrap();
}

fn copy(from: &Path, to: &Path) -> Vec<PathBuf> {
    std::fs::create_dir_all(to).unwrap();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let path = to.join(entry.file_name());
        std::fs::copy(entry.path(), &path).unwrap();
        files.push(path);
    }
    files.retain(|path| !path.ends_with("lock"));
    files.sort();
    files
}

/// Harms one of the files.
fn harm(files: &[PathBuf], random: &mut fastrand::Rng) -> String {
    let file = &files[random.usize(..files.len())];
    let mut bytes = std::fs::read(file).unwrap();
    // Most of a segment is zeros: what is harmed is at its beginning more often than not.
    let most = if random.bool() { bytes.len().min(100_000) } else { bytes.len() };
    let at = random.usize(..most);
    match random.u8(..4) {
        0 => bytes[at] ^= 1 << random.u8(..8),
        1 => bytes.iter_mut().skip(at / 4096 * 4096).take(4096).for_each(|byte| *byte = 0),
        2 => {
            std::fs::remove_file(file).unwrap();
            return format!("{} removed", file.display());
        }
        _ => {
            let other = &files[random.usize(..files.len())];
            let bytes = std::fs::read(other).unwrap();
            std::fs::rename(file, other).unwrap();
            std::fs::write(file, bytes).unwrap();
            return format!("{} and {} swapped", file.display(), other.display());
        }
    }
    std::fs::write(file, bytes).unwrap();
    format!("{} harmed at {at}", file.display())
}

#[test]
fn a_harmed_store_is_repaired_into_one_that_opens_and_agrees() {
    let root = tempfile::tempdir().unwrap();
    let base = root.path().join("base");
    // More than the memory of a checkpoint takes.
    written(&base, 4000, 10_000);
    let all = jobs_of(&open(&base).unwrap());
    assert_eq!(all.len(), 4000);
    let (mut refused, mut less) = (0, 0);
    for seed in 0..25 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (old, new) = (root.path().join("old"), root.path().join("new"));
        let harm = harm(&copy(&base.join("store"), &old.join("store")), &mut random);
        let report = verify(&old).unwrap();
        let repaired = repair_at(&old, &new, Timestamp::from_micros(0)).unwrap();
        let context = format!("seed {seed}, {harm}: {report}\n{repaired}");

        let after = verify(&new).unwrap();
        assert!(after.is_whole(), "{context}{after}");
        let mut store = open(&new).unwrap();
        Machine::open(&mut store, 1, 100).unwrap();
        let kept = jobs_of(&store);
        drop(store);
        assert!(kept.is_subset(&all), "{context}");
        assert_eq!(kept.len() as u64, repaired.jobs.kept, "{context}");
        let costs_nothing = ["manifest removed", "list removed"].map(|end| harm.ends_with(end));
        let is_swapped = harm.ends_with("swapped") && !harm.contains(".segment");
        if costs_nothing.contains(&true) || is_swapped && harm.contains("sorted") {
            assert!(kept == all, "{context}");
        }
        assert_eq!(repaired.is_whole(), !repaired.to_string().contains("not kept:"), "{context}");
        if kept.len() < all.len() {
            assert!(!repaired.is_whole(), "{context}");
            less += 1;
            assert!(!report.is_whole() && !repaired.faults.is_empty(), "{context}");
        }
        match open(&old) {
            Ok(store) => {
                let is_told = !report.is_whole();
                assert!(is_told || jobs_of(&store) == all, "{context}: silently less");
            }
            Err(_) => {
                refused += 1;
                assert!(!report.is_whole(), "{context}");
            }
        }
        for folder in [&old, &new] {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
    assert!(refused > 5 && less > 3, "{refused} {less}");
}

#[test]
fn a_repair_needs_a_store_that_nobody_has_open_and_an_empty_folder_and_changes_neither() {
    let root = tempfile::tempdir().unwrap();
    let (old, new) = (root.path().join("old"), root.path().join("new"));
    let now = Timestamp::from_micros(0);
    let told = |result: Result<Repaired, StoreError>| result.unwrap_err().to_string();
    assert!(told(repair_at(&old, &new, now)).starts_with("there is no store in it"));
    written(&old, 3, 10);
    let store = open(&old).unwrap();
    assert!(matches!(repair_at(&old, &new, now), Err(StoreError::InUse { .. })));
    drop(store);
    assert!(!new.exists(), "nothing was made");
    std::fs::create_dir(&new).unwrap();
    std::fs::write(new.join("file"), "").unwrap();
    let error = told(repair_at(&old, &new, now));
    assert_eq!(error, "the folder is not empty: name one that is, or that does not exist");
    assert_eq!(std::fs::read_dir(&new).unwrap().count(), 1);
    std::fs::remove_file(new.join("file")).unwrap();
    let text = repair_at(&old, &new, now).unwrap().to_string();
    assert_eq!(text, "3 jobs were kept; the old store had 3 by its own count\n");
    assert_eq!(jobs_of(&open(&new).unwrap()).len(), 3);
}
