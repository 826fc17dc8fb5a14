//! Reads a store without changing it, and goes on behind what is bad.

mod salvage;

use std::sync::Arc;

use bytes::Bytes;
use journal::{Disk, DiskFile, Number};

use crate::Key;
use crate::error::GroundError;
use crate::file::{self, SortedFile};
use crate::ground::Replay;
use crate::memory::Memory;
use crate::merge::{Counts, Merge, Source};
use crate::read::read_block;
use crate::run::Run;
use crate::tree::{self, LIST, List, Listed};
pub use salvage::salvage;

/// A file that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// A block of a sorted file that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadBlock {
    /// The file.
    pub file: String,
    /// The byte of the file at which the block begins.
    pub offset: u64,
    /// The first key that the block had.
    pub from: Key,
    /// A key that is behind all keys that the block had.
    pub to: Key,
}

/// What was found in a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// The journal.
    pub journal: journal::Verified,
    /// The sorted files have what the records up to here did.
    pub through: Number,
    /// The sorted files that the list names.
    pub files: usize,
    /// The pairs in those of their blocks that are good; of a key, several may be there.
    pub pairs: u64,
    /// The blocks that are not what was written.
    pub bad_blocks: Vec<BadBlock>,
    /// Files that are not what was written, but for those of the journal.
    pub faults: Vec<FileFault>,
    /// Records of the journal that hold no changes.
    pub unknown_records: Vec<Number>,
}

impl Verified {
    /// True where nothing that was promised is missing, and no file is bad.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.journal.is_whole()
            && self.bad_blocks.is_empty()
            && self.faults.is_empty()
            && self.unknown_records.is_empty()
    }

    fn fault(&mut self, file: &str, what: &'static str) {
        self.faults.push(FileFault { file: file.to_owned(), what });
    }
}

/// What can be read of a store.
pub struct Contents<F> {
    memory: Memory,
    runs: Vec<Run<F>>,
    counts: Counts,
}

/// Reads all of the store in this folder: every record of the journal, and every block. Nothing is
/// changed on the disk. The folder is one that no process has open.
///
/// # Errors
/// Where the system can't read a file, or a file has another format. What is damaged is no error:
/// it is in what was found.
pub fn verify<D: Disk>(disk: &D) -> Result<(Verified, Contents<D::File>), GroundError> {
    let mut found = Verified::default();
    let list = read_list(disk, &mut found)?;
    let (memory, is_clear) = read_journal(disk, list.as_ref(), &mut found)?;
    let counts = Counts::Newest;
    let Some(list) = list else {
        return Ok((found, Contents { memory, runs: Vec::new(), counts }));
    };
    check_journal(&list, &mut found);
    let mut runs = Vec::new();
    for listed in list.runs {
        runs.push(read_run(disk, listed, &mut found)?);
    }
    if is_clear {
        runs.clear();
    }
    Ok((found, Contents { memory, runs, counts }))
}

/// The list of the sorted files, where it is good.
fn read_list<D: Disk>(disk: &D, found: &mut Verified) -> Result<Option<List>, GroundError> {
    match tree::read_list(disk) {
        Ok(None) => {
            let names = disk.names().map_err(|error| GroundError::io("the folder", error))?;
            if names.iter().any(|name| file::id_of(name).is_some()) {
                found.fault(LIST, "is missing");
            }
            Ok(None)
        }
        Err(GroundError::Damaged { file, what }) => {
            found.fault(&file, what);
            Ok(None)
        }
        read => read,
    }
}

/// What the records did that the sorted files do not have; and whether all before was removed.
fn read_journal<D: Disk>(
    disk: &D,
    list: Option<&List>,
    found: &mut Verified,
) -> Result<(Memory, bool), GroundError> {
    found.through = list.map_or(Number(0), |list| list.through);
    let floors = list.map(|list| list.floors.clone()).unwrap_or_default();
    // Without a list nobody knows which record is needed first.
    let is_unknown = found.faults.iter().any(|fault| fault.file == LIST);
    let needed = if is_unknown { Number(u64::MAX) } else { found.through.next() };
    let mut replay = Replay::behind(found.through, floors, &[]);
    let mut unknown = Vec::new();
    let mut take = |number, record: &[u8]| {
        if replay.take(number, record).is_err() {
            unknown.push(number);
        }
        Ok(())
    };
    found.journal = journal::verify(disk, needed, &mut take)?;
    found.unknown_records = unknown;
    Ok((replay.memory, replay.is_clear))
}

/// The list and the journal belong together.
fn check_journal(list: &List, found: &mut Verified) {
    match found.journal.journal {
        None => found.fault("the journal", "is missing"),
        Some(journal) if journal != list.journal => {
            found.fault(LIST, "belongs to another journal");
        }
        Some(_) if found.journal.last < list.through => {
            found.fault("the journal", "ends before the sorted files do");
        }
        Some(_) => {}
    }
}

/// Reads all blocks of a run, and returns those of its files that can be read.
fn read_run<D: Disk>(
    disk: &D,
    listed: Listed,
    found: &mut Verified,
) -> Result<Run<D::File>, GroundError> {
    let mut files = Vec::new();
    for summary in listed.files {
        found.files += 1;
        let file = match SortedFile::open(disk, summary) {
            Ok(file) => file,
            Err(GroundError::Damaged { file, what }) => {
                found.fault(&file, what);
                continue;
            }
            Err(error) => return Err(error),
        };
        read_blocks(&file, found)?;
        files.push(Arc::new(file));
    }
    Ok(Run { files, replacing: listed.replacing })
}

fn read_blocks<F: DiskFile>(file: &SortedFile<F>, found: &mut Verified) -> Result<(), GroundError> {
    if file.has_bad_filter {
        found.fault(&file.summary.name(), "has a bad filter; it is read without it");
    }
    for index in 0..file.blocks() {
        match read_block(file, index)? {
            Ok(pairs) => found.pairs += pairs.len() as u64,
            Err(aside) => found.bad_blocks.push(BadBlock {
                file: file.summary.name(),
                offset: file.offset(index),
                from: aside.from,
                to: aside.to,
            }),
        }
    }
    Ok(())
}

impl<F: DiskFile> Contents<F> {
    /// The floors, one for each first byte that has one: what lies below them is not handed out.
    /// Without a list of the files only those in the journal are known.
    pub fn floors(&self) -> impl Iterator<Item = Key> {
        self.memory.floors().iter()
    }

    /// Hands out all keys that have a value, in their order. What [`verify`] found is as an open
    /// store would have it: of a key whose newest block is bad, nothing is said. What [`salvage`]
    /// found is all that can be read: an older value comes to light there.
    ///
    /// # Errors
    /// Where a file can't be read.
    pub fn each(&self, take: &mut dyn FnMut(Key, Bytes)) -> Result<(), GroundError> {
        let mut sources = vec![Source::memory(&self.memory, &Key::FIRST, &Key::LAST)];
        for run in &self.runs {
            sources.push(Source::run(run, &Key::FIRST, None)?);
        }
        let mut merge = Merge { sources, counts: self.counts };
        while let Some((key, value)) = merge.next()? {
            if let Some(value) = value.filter(|_| !self.memory.floors().hides(&key)) {
                take(key, value);
            }
        }
        Ok(())
    }
}
