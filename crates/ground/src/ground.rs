//! The store: a journal, the changes in memory, and the sorted files.

mod checkpoint;
mod commit;
mod raise;
mod replay;
mod waits;

use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use journal::{Disk, FileLog, Opened, Tail, Wake};

use self::raise::Raising;
pub(crate) use self::replay::Replay;
use self::waits::Waits;
use crate::ballast;
use crate::block::Value;
use crate::error::GroundError;
use crate::file::SortedFile;
use crate::memory::Memory;
use crate::merge::{Counts, Merge, Source};
use crate::pending::Pending;
use crate::tree::{self, Tree};
use crate::{Change, Key, Options};

/// A store of ordered keys. Changes are seen at once, belong to the journal when they are
/// committed, and are durable when the journal's record is.
pub struct Ground<D: Disk> {
    pub(crate) log: FileLog<Arc<D>>,
    pub(crate) tree: Arc<Tree<D>>,
    options: Options,
    pub(crate) memory: Memory,
    /// Nothing older than `memory` counts any more.
    is_clear: bool,
    /// The changes since the last commit.
    pub(crate) pending: Pending,
    raising: Raising,
    /// Nothing was changed since the caller said that it rests.
    is_resting: bool,
    /// The bytes that went into the journal since the last checkpoint began.
    pub(crate) since_checkpoint: u64,
    waits: Waits,
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
    /// end of its journal that was left out, where there was one. `wake` is called when more is
    /// durable, when a checkpoint has ended, and when [`Ground::trouble`] begins or ends; see
    /// [`Wake`] for what it may do.
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

    /// Where the disk is full, the ballast is given up, and the store is opened once more.
    fn begin(opening: Opening<D>) -> Result<(Self, Option<Tail>), GroundError> {
        match Self::begin_once(&opening) {
            Err(error) if error.is_want_of_room() && ballast::give_up(&*opening.disk) => {
                Self::begin_once(&opening)
            }
            begun => begun,
        }
    }

    fn begin_once(opening: &Opening<D>) -> Result<(Self, Option<Tail>), GroundError> {
        let Opening { options, has_threads, .. } = *opening;
        let (disk, wake) = (Arc::clone(&opening.disk), Arc::clone(&opening.wake));
        let (through, floors) = Tree::through(&*disk)?;
        let mut replay = Replay::behind(through, floors, options.filtered);
        let mut take = |number, record: &[u8]| replay.take(number, record);
        let (own, needed, to_wake) = (Arc::clone(&disk), through.next(), Arc::clone(&wake));
        let Opened { log, tail } = if has_threads {
            FileLog::open(own, options.journal, needed, &mut take, to_wake)?
        } else {
            FileLog::open_without_threads(own, options.journal, needed, &mut take, to_wake)?
        };
        if log.last() < through {
            return Err(GroundError::damaged("the journal", "ends before the sorted files do"));
        }
        let (journal, watch) = (log.id(), log.watch());
        let opening = tree::Opening { disk, journal, watch, wake, options };
        let tree = Arc::new(Tree::open(opening)?);
        let pending = replay.pending();
        let Replay { memory, is_clear, bytes, .. } = replay;
        let (is_resting, since_checkpoint, thread) = (false, bytes, None);
        let raising = Raising::of_journal();
        let ground = Self {
            log,
            tree,
            options,
            memory,
            is_clear,
            pending,
            raising,
            is_resting,
            since_checkpoint,
            waits: Waits::default(),
            thread,
        };
        Ok((ground, tail))
    }

    /// Changes keys. The changes are seen at once, and belong to the next commit.
    pub fn change(&mut self, change: Change) {
        if std::mem::take(&mut self.is_resting) {
            self.tree.rest(false);
        }
        self.pending.note(&change);
        self.raising.note(&change);
        self.is_clear |= apply(&mut self.memory, change);
    }

    /// As [`Change::Insert`], of a short value that is copied: where the key begins with a byte of
    /// [`Options::filtered`], the value takes no memory of its own.
    pub fn insert(&mut self, key: Key, value: &[u8]) {
        if std::mem::take(&mut self.is_resting) {
            self.tree.rest(false);
        }
        self.pending.note_insert(&key, value);
        self.memory.insert(key, value);
    }

    /// The value of a key. Where it is in memory, or in a block that was read lately, its bytes are
    /// shared and not copied. A key whose block is set aside has none.
    ///
    /// # Errors
    /// Where a file can't be read: nothing is known of the key then.
    pub fn get(&self, key: &Key) -> Result<Option<Bytes>, GroundError> {
        if let Some(value) = self.memory.get(key) {
            return Ok(value);
        }
        if self.is_clear || self.memory.floors().hides(key) {
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
    /// Where a file can't be read: nothing is known of the keys then.
    pub fn range(
        &self,
        from: &Key,
        to: &Key,
        limit: usize,
    ) -> Result<Vec<(Key, Bytes)>, GroundError> {
        let mut pairs = Vec::new();
        for (from, to) in self.memory.floors().parts(*from, *to) {
            if pairs.len() < limit {
                self.range_above(&from, &to, limit, &mut pairs)?;
            }
        }
        Ok(pairs)
    }

    /// Adds the pairs of a range in which no key is below a floor, until there are `limit`.
    fn range_above(
        &self,
        from: &Key,
        to: &Key,
        limit: usize,
        pairs: &mut Vec<(Key, Bytes)>,
    ) -> Result<(), GroundError> {
        let (frozen, runs) = self.older();
        let mut sources = vec![Source::memory(&self.memory, from, to)];
        let is_clear = self.is_clear || frozen.as_ref().is_some_and(|(_, is_clear)| *is_clear);
        if let Some((memory, _)) = frozen.as_ref().filter(|_| !self.is_clear) {
            sources.push(Source::memory(memory, from, to));
        }
        for run in runs.iter().filter(|_| !is_clear) {
            sources.push(Source::run(run, from, Some(&self.tree.cache))?);
        }
        let mut merge = Merge { sources, counts: Counts::Newest };
        while pairs.len() < limit
            && let Some((key, value)) = merge.next()?
            && key < *to
        {
            pairs.extend(Value::map(value, |value| (key, value)));
        }
        Ok(())
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

    /// The sorted files whose filter is not what was written. They are read without it, and no key
    /// is missing.
    #[must_use]
    pub fn bad_filters(&self) -> usize {
        self.count_of_files(|file| u64::from(file.has_bad_filter)) as usize
    }

    /// The memory that the filters of the sorted files take, in bytes.
    #[must_use]
    pub fn filter_bytes(&self) -> u64 {
        self.count_of_files(|file| file.filter_bytes() as u64)
    }

    /// About how many bytes of the sorted files belong to keys with this first byte; a part of a
    /// block of 16 KiB may be left out or too much.
    #[must_use]
    pub fn bytes_of(&self, first_byte: u8) -> u64 {
        self.count_of_files(|file| file.bytes_of(first_byte))
    }

    fn count_of_files(&self, count: impl Fn(&SortedFile<D::File>) -> u64) -> u64 {
        let runs = self.tree.lock().runs.clone();
        runs.iter().flat_map(|run| &run.files).map(|file| count(file)).sum()
    }

    /// The sorted files that have such a block, or can't be read. They are not merged, so they keep
    /// the room that they take.
    #[must_use]
    pub fn files_set_aside(&self) -> usize {
        let met = self.tree.cache.files_with_bad_blocks();
        let state = self.tree.lock();
        let is_aside = |id: &u64| met.contains(id) || state.bad.contains(id);
        let files = state.runs.iter().flat_map(|run| &run.files);
        files.filter(|file| is_aside(&file.summary.id)).count()
    }
}

impl<D: Disk> Drop for Ground<D> {
    fn drop(&mut self) {
        self.end_thread();
    }
}

/// True where everything older was removed.
fn apply(memory: &mut Memory, change: Change) -> bool {
    let is_clear = change == Change::Clear;
    memory.apply(change);
    is_clear
}
