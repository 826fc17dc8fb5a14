//! The store: a journal, the changes in memory, and the sorted files.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use journal::{AppendError, Disk, FileLog, Log, LogFailed, Number, Opened, Tail, Wake};

use crate::block::Value;
use crate::error::GroundError;
use crate::memory::Memory;
use crate::merge::{Merge, Source};
use crate::tree::{Frozen, Tree};
use crate::{Change, Key, change};

/// The most memory that is kept for the next record.
const KEPT_BYTES: usize = 4 << 20;

/// How a store keeps its files and its memory.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How the journal keeps its files.
    pub journal: journal::Options,
    /// A checkpoint begins when the changes in memory take so many bytes.
    pub memory_bytes: usize,
    /// A checkpoint begins when so many bytes have gone into the journal since the last one.
    pub journal_bytes: u64,
    /// The memory for blocks that were read.
    pub cache_bytes: usize,
    /// Sorted files are about so long.
    pub file_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            journal: journal::Options::default(),
            memory_bytes: 32 << 20,
            journal_bytes: 128 << 20,
            cache_bytes: 16 << 20,
            file_bytes: 16 << 20,
        }
    }
}

/// A store of ordered keys. Changes are seen at once, belong to the journal when they are
/// committed, and are durable when the journal's record is.
pub struct Ground<D: Disk> {
    pub(crate) log: FileLog<Arc<D>>,
    pub(crate) tree: Arc<Tree<D>>,
    options: Options,
    memory: Memory,
    /// Nothing older than `memory` counts any more.
    is_clear: bool,
    /// The record of the changes since the last commit.
    record: Vec<u8>,
    /// Keys that were put since: only their last values go into the record.
    puts: BTreeSet<Key>,
    /// The bytes that went into the journal since the last checkpoint began.
    since_checkpoint: u64,
    /// `None` where the caller does what the thread does.
    thread: Option<JoinHandle<()>>,
}

/// What is opened, and whether with threads.
struct Opening<D> {
    disk: Arc<D>,
    options: Options,
    wake: Wake,
    has_threads: bool,
}

impl<D: Disk> Ground<D> {
    /// Opens the store in this folder, or begins one in a folder without one; the store, and the
    /// end of its journal that was left out, where there was one. `wake` is called from another
    /// thread when more is durable.
    ///
    /// # Errors
    /// See [`GroundError`].
    pub fn open(
        disk: Arc<D>,
        options: Options,
        wake: Wake,
    ) -> Result<(Self, Option<Tail>), GroundError> {
        let opening = Opening { disk, options, wake, has_threads: true };
        let (mut ground, tail) = Self::begin(opening)?;
        let tree = Arc::clone(&ground.tree);
        let thread = std::thread::Builder::new().name("store-files".into());
        let thread = thread.spawn(move || tree.run());
        ground.thread = Some(thread.map_err(|error| GroundError::io("a thread", error))?);
        Ok((ground, tail))
    }

    /// As [`Ground::open`], but nothing happens in the background: [`Ground::work`] does it.
    ///
    /// # Errors
    /// See [`GroundError`].
    pub fn open_without_threads(
        disk: Arc<D>,
        options: Options,
        wake: Wake,
    ) -> Result<(Self, Option<Tail>), GroundError> {
        Self::begin(Opening { disk, options, wake, has_threads: false })
    }

    fn begin(opening: Opening<D>) -> Result<(Self, Option<Tail>), GroundError> {
        let Opening { disk, options, wake, has_threads } = opening;
        let through = Tree::through(&*disk)?;
        let mut memory = Memory::default();
        let mut is_clear = false;
        let mut bytes = 0;
        let mut take = |number: Number, record: &[u8]| {
            if number > through {
                bytes += record.len() as u64;
                let record = Bytes::copy_from_slice(record);
                let changes = change::decode(&record).ok_or("it holds no changes")?;
                for change in changes {
                    is_clear |= apply(&mut memory, change);
                }
            }
            Ok(())
        };
        let (own, needed) = (Arc::clone(&disk), through.next());
        let Opened { log, tail } = if has_threads {
            FileLog::open(own, options.journal, needed, &mut take, wake)?
        } else {
            FileLog::open_without_threads(own, options.journal, needed, &mut take, wake)?
        };
        let tree = Tree::open(disk, log.id(), options.cache_bytes, options.file_bytes)?;
        if log.last() < through {
            return Err(GroundError::damaged("the journal", "ends before the sorted files do"));
        }
        let (tree, record, since_checkpoint, thread) = (Arc::new(tree), Vec::new(), bytes, None);
        let puts = BTreeSet::new();
        let ground =
            Self { log, tree, options, memory, is_clear, record, puts, since_checkpoint, thread };
        Ok((ground, tail))
    }

    /// Changes keys. The changes are seen at once, and belong to the next commit.
    pub fn change(&mut self, change: Change) {
        match &change {
            Change::Put(key, _) => drop(self.puts.insert(*key)),
            other => change::encode(other, &mut self.record),
        }
        self.is_clear |= apply(&mut self.memory, change);
    }

    /// Writes all changes since the last commit into the journal, as one record; its number, or
    /// that of the last one where nothing was changed. The changes survive the end of this process
    /// now, and are durable when [`Ground::durable`] has reached the number.
    ///
    /// # Errors
    /// As [`Log::append`]; where there is no room, the changes wait for the next commit.
    pub fn commit(&mut self) -> Result<Number, AppendError> {
        for key in std::mem::take(&mut self.puts) {
            if let Some(Some(value)) = self.memory.get(&key) {
                change::encode(&Change::Put(key, value), &mut self.record);
            }
        }
        if !self.record.is_empty() {
            self.wait_for_files();
            self.log.append(self.log.epoch(), &self.record)?;
            self.since_checkpoint += self.record.len() as u64;
            self.record.clear();
            self.record.shrink_to(KEPT_BYTES);
        }
        self.go_on();
        Ok(self.log.last())
    }

    /// Waits while the changes in memory are far more than they should be and the files can still
    /// be written.
    fn wait_for_files(&mut self) {
        while self.thread.is_some()
            && self.memory.bytes() >= 2 * self.options.memory_bytes
            && self.tree.lock().frozen.is_some()
            && self.tree.lock().trouble.is_none()
            && self.log.durable().is_ok()
        {
            self.go_on();
            self.tree.wait();
        }
    }

    /// Why the sorted files can't be written, where they can't. It is tried again and again.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.tree.lock().trouble.clone()
    }

    /// Makes everything committed durable, on this thread.
    ///
    /// # Errors
    /// Where the journal has failed, or fails now.
    pub fn sync(&mut self) -> Result<(), LogFailed> {
        self.log.sync()?;
        self.go_on();
        Ok(())
    }

    /// Says that nothing will be changed for a while; see [`Log::rest`]. Returns at once.
    pub fn rest(&mut self) {
        self.log.rest();
    }

    /// Asks that everything committed becomes durable. Returns at once.
    pub fn flush(&mut self) {
        self.log.flush();
    }

    /// The number up to which everything committed is durable.
    ///
    /// # Errors
    /// Where the journal has failed.
    pub fn durable(&self) -> Result<Number, LogFailed> {
        self.log.durable()
    }

    /// Begins a checkpoint where one is due, and lets a durable one go on.
    fn go_on(&mut self) {
        let durable = self.log.durable().unwrap_or_default();
        let mut state = self.tree.lock();
        self.log.cut(state.through);
        if let Some(frozen) = &mut state.frozen {
            if !frozen.is_durable && frozen.through <= durable {
                frozen.is_durable = true;
                self.tree.call();
            }
            return;
        }
        let is_due = self.memory.bytes() >= self.options.memory_bytes
            || self.since_checkpoint >= self.options.journal_bytes
            || self.is_clear;
        if is_due && self.record.is_empty() && self.puts.is_empty() {
            let memory = Arc::new(std::mem::take(&mut self.memory));
            let through = self.log.last();
            let is_durable = through <= durable;
            let is_clear = std::mem::take(&mut self.is_clear);
            state.frozen = Some(Frozen { memory, through, is_durable, is_clear });
            self.since_checkpoint = 0;
            drop(state);
            self.log.flush();
        }
    }

    /// Does one thing that happens in the background: false where there is nothing to do.
    ///
    /// # Errors
    /// Where a file can't be read or written; it may be tried again.
    pub fn work(&mut self) -> Result<bool, GroundError> {
        self.go_on();
        Ok(self.log.work() || self.tree.work()?)
    }

    /// Makes everything durable, writes it into sorted files, and notes that the journal ends here.
    ///
    /// # Errors
    /// Where something can't be written.
    pub fn close(&mut self) -> Result<(), GroundError> {
        self.commit()?;
        self.log.flush();
        self.end_thread();
        // What follows does their work, and nobody else may meanwhile.
        self.log.end_threads();
        while self.log.durable()? < self.log.last() {
            if !self.log.work() {
                self.tree.wait();
            }
        }
        // What is frozen already, and then what came since.
        for _ in 0..2 {
            self.since_checkpoint = u64::MAX;
            while self.work()? {}
        }
        self.log.close()?;
        Ok(())
    }

    fn end_thread(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.tree.end();
            // What a thread that panicked did not write is still in the journal.
            let _ = thread.join();
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// Where a file can't be read.
    pub fn get(&self, key: &Key) -> Result<Option<Bytes>, GroundError> {
        if let Some(value) = self.memory.get(key) {
            return Ok(value);
        }
        if self.is_clear {
            return Ok(None);
        }
        let (frozen, runs) = self.older();
        if let Some((memory, is_clear)) = frozen {
            if let Some(value) = memory.get(key) {
                return Ok(value);
            }
            if is_clear {
                return Ok(None);
            }
        }
        for run in runs.iter() {
            if let Some(value) = run.get(key, &self.tree.cache)? {
                return Ok(value);
            }
        }
        Ok(None)
    }

    /// Up to `limit` pairs from `from` (included) to `to` (excluded), in the order of their keys.
    ///
    /// # Errors
    /// Where a file can't be read.
    pub fn range(
        &self,
        from: &Key,
        to: &Key,
        limit: usize,
    ) -> Result<Vec<(Key, Bytes)>, GroundError> {
        let (frozen, runs) = self.older();
        let mut sources = vec![Source::memory(&self.memory, from)];
        let is_clear = self.is_clear || frozen.as_ref().is_some_and(|(_, is_clear)| *is_clear);
        if let Some((memory, _)) = frozen.as_ref().filter(|_| !self.is_clear) {
            sources.push(Source::memory(memory, from));
        }
        for run in runs.iter().filter(|_| !is_clear) {
            sources.push(Source::run(run.clone(), from, Some(&self.tree.cache))?);
        }
        let mut merge = Merge { sources };
        let mut pairs = Vec::new();
        while pairs.len() < limit
            && let Some((key, value)) = merge.next()?
            && key < *to
        {
            pairs.extend(Value::map(value, |value| (key, value)));
        }
        Ok(pairs)
    }

    /// What is frozen, and the runs.
    #[expect(clippy::type_complexity, reason = "it is taken apart at once")]
    fn older(&self) -> (Option<(Arc<Memory>, bool)>, crate::tree::Runs<D::File>) {
        let state = self.tree.lock();
        let frozen = state.frozen.as_ref().map(|frozen| (frozen.memory.clone(), frozen.is_clear));
        (frozen, state.runs.clone())
    }

    /// The blocks of sorted files that are set aside because they are not what was written.
    #[must_use]
    pub fn bad_blocks(&self) -> usize {
        self.tree.cache.bad_blocks()
    }
}

impl<D: Disk> Drop for Ground<D> {
    fn drop(&mut self) {
        self.end_thread();
    }
}

/// True where everything older was removed.
fn apply(memory: &mut Memory, change: Change) -> bool {
    if change == Change::Clear {
        *memory = Memory::default();
        return true;
    }
    memory.apply(change);
    false
}
