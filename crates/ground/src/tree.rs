//! The sorted files: which there are, how changes get into them, and how they are merged. One list
//! names them all, and says up to which record of the journal they have come.

mod compact;
mod flush;
mod output;
mod raise;
mod thread;

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use journal::document::{self, Unreadable};
use journal::{Disk, Number, Wake, Watch};
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::error::GroundError;
use crate::file::{self, SortedFile, Summary};
use crate::floors::Floors;
use crate::memory::Memory;
use crate::options::Options;
use crate::run::Run;
use crate::sizes::Sizes;

pub(crate) const LIST: &str = "list";
/// The version of the format of the list and the sorted files.
const FORMAT: u32 = 2;
/// The version before, which is read too: it has no floors and no filters.
const FORMAT_BEFORE: u32 = 1;

/// The list of the sorted files.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct List {
    format: u32,
    pub(crate) journal: u64,
    /// The sorted files have what the journal's records up to here did.
    pub(crate) through: Number,
    next_file: u64,
    /// All that the records up to `through` have raised; maybe also what later ones have.
    #[serde(default)]
    pub(crate) floors: Floors,
    /// The newest run first.
    pub(crate) runs: Vec<Listed>,
}

/// A run in the list.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) replacing: u64,
    pub(crate) files: Vec<Summary>,
}

/// Changes that are on their way into a sorted file.
pub(crate) struct Frozen {
    pub(crate) memory: Arc<Memory>,
    /// The last record that did something of it. No sorted file may hold what it did before it is
    /// durable.
    pub(crate) through: Number,
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
    /// What the runs have. The list is behind them until it is written.
    flushed: Number,
    /// The floors that the runs have, or are to have soon. Each one's record is durable.
    floors: Floors,
    is_list_due: bool,
    /// Files that no run has any more. The list on the disk may name them until it is written.
    gone: Vec<Arc<SortedFile<F>>>,
    /// How often everything older was removed.
    clears: u64,
    next_file: u64,
    /// Files with a block that is bad or can't be read.
    pub(crate) bad: HashSet<u64>,
    random: fastrand::Rng,
    /// Why changes can't be written into files, or the list; it is tried again.
    pub(crate) trouble: Option<Arc<str>>,
    /// Why runs can't be merged; it is tried again.
    pub(crate) merge_trouble: Option<Arc<str>>,
    /// Nothing is changed at present.
    is_resting: bool,
    is_closing: bool,
}

/// What the files are opened with.
pub(crate) struct Opening<D: Disk> {
    pub(crate) disk: Arc<D>,
    /// The journal's number.
    pub(crate) journal: u64,
    pub(crate) watch: Watch<Arc<D>>,
    pub(crate) wake: Wake,
    pub(crate) options: Options,
}

pub(crate) struct Tree<D: Disk> {
    disk: Arc<D>,
    journal: u64,
    watch: Watch<Arc<D>>,
    wake: Wake,
    pub(crate) cache: Cache,
    state: Mutex<State<D::File>>,
    /// There may be something to do.
    to_work: Condvar,
    /// Something was done, or failed.
    done: Condvar,
    /// Sorted files are about so long.
    file_bytes: u64,
    /// The first bytes of keys that have files of their own, with filters.
    filtered: &'static [u8],
    ballast_bytes: u64,
}

impl<D: Disk> Tree<D> {
    /// What the list says before the journal is opened: up to which record the files have come, and
    /// their floors.
    pub(crate) fn through(disk: &D) -> Result<(Number, Floors), GroundError> {
        let list = read_list(disk)?;
        Ok(list.map_or((Number(0), Floors::default()), |list| (list.through, list.floors)))
    }

    /// Opens the files.
    pub(crate) fn open(opening: Opening<D>) -> Result<Self, GroundError> {
        let Opening { disk, journal, watch, wake, options } = opening;
        let Options { cache_bytes, file_bytes, filtered, ballast_bytes, .. } = options;
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
                let (through, floors, runs) = (Number(0), Floors::default(), Vec::new());
                List { format: FORMAT, journal, through, next_file: 1, floors, runs }
            }
        };
        let mut runs = Vec::with_capacity(list.runs.len());
        for Listed { replacing, files } in list.runs {
            let files = files.into_iter().map(|summary| SortedFile::open(&*disk, summary));
            let files = files.map(|file| file.map(Arc::new)).collect::<Result<_, _>>()?;
            runs.push(Run { files, replacing });
        }
        runs.iter().flat_map(|run| &run.files).for_each(|file| tell_of_filter(file));
        let state = begin_state(runs, list.through, list.floors, list.next_file);
        let (cache, state) = (Cache::new(cache_bytes), Mutex::new(state));
        let (to_work, done) = (Condvar::new(), Condvar::new());
        let tree = Self {
            disk,
            journal,
            watch,
            wake,
            cache,
            state,
            to_work,
            done,
            file_bytes,
            filtered,
            ballast_bytes,
        };
        // No loss of power brings an older list back after that.
        tree.write_list()?;
        remove_unlisted(&*tree.disk, &names, &tree.lock().runs);
        Ok(tree)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State<D::File>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the list with the present runs. After that, files that they do not have go, and the
    /// journal is cut.
    fn write_list(&self) -> Result<(), GroundError> {
        let (list, gone) = {
            let mut state = self.lock();
            let listed = |run: &Run<D::File>| {
                let files = run.files.iter().map(|file| file.summary.clone()).collect();
                Listed { replacing: run.replacing, files }
            };
            let list = List {
                format: FORMAT,
                journal: self.journal,
                through: state.flushed,
                next_file: state.next_file,
                floors: state.floors.clone(),
                runs: state.runs.iter().map(listed).collect(),
            };
            (list, std::mem::take(&mut state.gone))
        };
        let written = document::write(&*self.disk, LIST, &list);
        let mut state = self.lock();
        if let Err(error) = written {
            state.gone.extend(gone);
            return Err(GroundError::io(LIST, error));
        }
        (state.through, state.is_list_due) = (list.through, false);
        drop(state);
        gone.iter().for_each(|file| remove(&*self.disk, &file.summary.name()));
        self.watch.cut(list.through);
        Ok(())
    }

    /// Says whether anything is changed at present.
    pub(crate) fn rest(&self, is_resting: bool) {
        let mut state = self.lock();
        let begins = is_resting && !state.is_resting;
        state.is_resting = is_resting;
        drop(state);
        if begins {
            self.call();
        }
    }

    /// The most bytes that so many of the pairs in files have.
    pub(crate) fn most_bytes(&self, pairs: u64) -> u64 {
        let runs = self.lock().runs.clone();
        let mut sizes = Sizes::default();
        runs.iter().for_each(|run| sizes.add(&run.sizes()));
        sizes.most_bytes(pairs)
    }
}

/// Says that a filter is bad.
fn tell_of_filter<F>(file: &SortedFile<F>) {
    if file.has_bad_filter {
        tracing::error!(
            file = file.summary.name(),
            "a filter of the store is not what was written; its file is read without it"
        );
    }
}

fn begin_state<F>(runs: Vec<Run<F>>, through: Number, floors: Floors, next_file: u64) -> State<F> {
    State {
        runs: Arc::new(runs),
        frozen: None,
        through,
        flushed: through,
        floors,
        is_list_due: false,
        gone: Vec::new(),
        clears: 0,
        next_file,
        bad: HashSet::new(),
        random: fastrand::Rng::with_seed(fastrand::u64(..)),
        trouble: None,
        merge_trouble: None,
        is_resting: false,
        is_closing: false,
    }
}

fn remove<D: Disk>(disk: &D, name: &str) {
    // A file that stays is found at the next start.
    if let Err(error) = disk.remove(name) {
        tracing::warn!(file = name, %error, "a file of the store can't be removed");
    }
}

pub(crate) fn read_list<D: Disk>(disk: &D) -> Result<Option<List>, GroundError> {
    let read = match document::read(disk, LIST, FORMAT) {
        Err(Unreadable::Format(FORMAT_BEFORE)) => document::read(disk, LIST, FORMAT_BEFORE),
        read => read,
    };
    match read {
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
