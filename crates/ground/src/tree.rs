//! The sorted files: which there are, how changes get into them, and how they are merged. One list
//! names them all, and says up to which record of the journal they have come.

mod compact;

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use journal::document::{self, Unreadable};
use journal::{Disk, Number};
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::error::GroundError;
use crate::file::{self, SortedFile, Summary};
use crate::memory::Memory;
use crate::run::Run;

pub(crate) const LIST: &str = "list";
/// The version of the format of the list and the sorted files.
const FORMAT: u32 = 1;
/// The longest time between two looks at what there is to do, and between two tries of what failed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Serialize, Deserialize)]
struct List {
    format: u32,
    journal: u64,
    /// The sorted files have what the journal's records up to here did.
    through: Number,
    next_file: u64,
    /// The newest run first.
    runs: Vec<Vec<Summary>>,
}

/// Changes that are on their way into a sorted file.
pub(crate) struct Frozen {
    pub(crate) memory: Arc<Memory>,
    pub(crate) through: Number,
    /// The records up to `through` are durable. Before that no sorted file may hold what they did.
    pub(crate) is_durable: bool,
    /// Everything older was removed.
    pub(crate) is_clear: bool,
}

/// All runs, the newest first.
pub(crate) type Runs<F> = Arc<Vec<Run<F>>>;

pub(crate) struct State<F> {
    pub(crate) runs: Runs<F>,
    pub(crate) frozen: Option<Frozen>,
    /// What the list on the disk says.
    pub(crate) through: Number,
    next_file: u64,
    /// Files with a bad block.
    bad: HashSet<u64>,
    random: fastrand::Rng,
    /// Why the last piece of work failed; it is tried again.
    pub(crate) trouble: Option<Arc<str>>,
    pub(crate) is_closing: bool,
}

pub(crate) struct Tree<D: Disk> {
    disk: Arc<D>,
    journal: u64,
    pub(crate) cache: Cache,
    state: Mutex<State<D::File>>,
    /// There may be something to do.
    to_work: Condvar,
    /// Something was done, or failed.
    done: Condvar,
    /// Sorted files are about so long.
    file_bytes: u64,
}

impl<D: Disk> Tree<D> {
    /// What the list says before the journal is opened: up to which record the files have come.
    pub(crate) fn through(disk: &D) -> Result<Number, GroundError> {
        Ok(read_list(disk)?.map_or(Number(0), |list| list.through))
    }

    /// Opens the files.
    pub(crate) fn open(
        disk: Arc<D>,
        journal: u64,
        cache_bytes: usize,
        file_bytes: u64,
    ) -> Result<Self, GroundError> {
        let names = disk.names().map_err(|error| GroundError::io("the folder", error))?;
        let list = match read_list(&*disk)? {
            Some(list) if list.journal != journal => {
                return Err(GroundError::damaged(LIST, "belongs to another journal"));
            }
            Some(list) => list,
            None if names.iter().any(|name| file::id_of(name).is_some()) => {
                return Err(GroundError::damaged(LIST, "is missing"));
            }
            None => {
                let (through, runs) = (Number(0), Vec::new());
                let list = List { format: FORMAT, journal, through, next_file: 1, runs };
                document::write(&*disk, LIST, &list)
                    .map_err(|error| GroundError::io(LIST, error))?;
                list
            }
        };
        let mut runs = Vec::with_capacity(list.runs.len());
        for summaries in list.runs {
            let files = summaries.into_iter().map(|summary| SortedFile::open(&*disk, summary));
            let files = files.map(|file| file.map(Arc::new)).collect::<Result<_, _>>()?;
            runs.push(Run { files });
        }
        remove_unlisted(&*disk, &names, &runs);
        let state = State {
            runs: Arc::new(runs),
            frozen: None,
            through: list.through,
            next_file: list.next_file,
            bad: HashSet::new(),
            random: fastrand::Rng::with_seed(fastrand::u64(..)),
            trouble: None,
            is_closing: false,
        };
        let (cache, state) = (Cache::new(cache_bytes), Mutex::new(state));
        let (to_work, done) = (Condvar::new(), Condvar::new());
        Ok(Self { disk, journal, cache, state, to_work, done, file_bytes })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State<D::File>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until it is closed. What fails is tried again.
    pub(crate) fn run(&self) {
        loop {
            let worked = self.work();
            let mut state = self.lock();
            match worked {
                Ok(true) => state.trouble = None,
                Ok(false) => {}
                Err(error) => {
                    if state.trouble.is_none() {
                        tracing::warn!(%error, "the store can't write its files; it tries again");
                    }
                    state.trouble = Some(error.to_string().into());
                }
            }
            let (is_closing, has_trouble) = (state.is_closing, state.trouble.is_some());
            drop(state);
            self.done.notify_all();
            if is_closing {
                return;
            }
            if has_trouble || !self.has_work() {
                let state = self.lock();
                // A call that comes before the wait is missed by it, so the wait is short.
                drop(self.to_work.wait_timeout(state, LOOK_EVERY));
            }
        }
    }

    /// Says that there may be something to do.
    pub(crate) fn call(&self) {
        self.to_work.notify_one();
    }

    /// Waits until something was done, or failed, or a short time has passed.
    pub(crate) fn wait(&self) {
        let state = self.lock();
        drop(self.done.wait_timeout(state, LOOK_EVERY));
    }

    pub(crate) fn end(&self) {
        self.lock().is_closing = true;
        self.call();
    }

    /// Writes the list with these runs.
    fn write_list(&self, runs: &[Run<D::File>], through: Number) -> Result<(), GroundError> {
        let summaries = |run: &Run<D::File>| {
            run.files.iter().map(|file| file.summary.clone()).collect::<Vec<_>>()
        };
        let list = List {
            format: FORMAT,
            journal: self.journal,
            through,
            next_file: self.lock().next_file,
            runs: runs.iter().map(summaries).collect(),
        };
        document::write(&*self.disk, LIST, &list).map_err(|error| GroundError::io(LIST, error))
    }

    /// Removes files that the list on the disk no longer names.
    fn remove_files<'a>(&self, files: impl Iterator<Item = &'a Arc<SortedFile<D::File>>>)
    where
        D::File: 'a,
    {
        for file in files {
            remove(&*self.disk, &file.summary.name());
        }
    }
}

fn remove<D: Disk>(disk: &D, name: &str) {
    // A file that stays is found at the next start.
    if let Err(error) = disk.remove(name) {
        tracing::warn!(file = name, %error, "a file of the store can't be removed");
    }
}

fn read_list<D: Disk>(disk: &D) -> Result<Option<List>, GroundError> {
    match document::read(disk, LIST, FORMAT) {
        Ok(list) => Ok(Some(list)),
        Err(Unreadable::Missing) => Ok(None),
        Err(Unreadable::Bad) => Err(GroundError::damaged(LIST, "is not what was written")),
        Err(Unreadable::Format(found)) => Err(GroundError::Format { found, expected: FORMAT }),
        Err(Unreadable::Io(error)) => Err(GroundError::io(LIST, error)),
    }
}

/// Removes files that were being written when the process ended.
fn remove_unlisted<D: Disk>(disk: &D, names: &[String], runs: &[Run<D::File>]) {
    let listed: HashSet<_> =
        runs.iter().flat_map(|run| &run.files).map(|file| file.summary.id).collect();
    for name in names {
        if file::id_of(name).is_some_and(|id| !listed.contains(&id)) {
            remove(disk, name);
        }
    }
}
