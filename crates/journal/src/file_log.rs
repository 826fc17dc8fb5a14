//! The log in files.

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::damage::{Damage, Fault, OpenError, Tail};
use crate::disk::{Disk, DiskFile};
use crate::document::Unreadable;
use crate::log::{AppendError, Log, LogFailed, Wake};
use crate::manifest::{self, Manifest};
use crate::record::{self, Head, RECORD_BYTES_MAX};
use crate::scan::{self, Scanned};
use crate::segment::{self, RECORDS_AT};
use crate::shared::{Prepared, Shared, State, Wanted, is_want_of_room};
use crate::take::Take;
use crate::{Epoch, Number, Options};

/// The most memory that is kept for the next record.
const KEPT_BYTES: usize = 4 << 20;

/// A log in the files of a folder.
pub struct FileLog<D: Disk> {
    pub(crate) shared: Arc<Shared<D>>,
    epoch: Epoch,
    active: Prepared<D::File>,
    /// The end of the last record in the active segment.
    end: u64,
    last: Number,
    /// The bytes of the record that is being written.
    bytes: Vec<u8>,
    /// Empty where the caller does what the threads do.
    threads: Vec<JoinHandle<()>>,
}

/// A journal that was opened, and what was found in it.
pub struct Opened<D: Disk> {
    /// The log.
    pub log: FileLog<D>,
    /// The end that was left out, where there was one.
    pub tail: Option<Tail>,
}

impl<D: Disk> FileLog<D> {
    /// Opens the journal in this folder, or begins one in a folder without files of a journal, and
    /// hands all its records to `take`, in order. `needed` is the first record that the caller
    /// needs. `wake` is called from another thread whenever more is durable.
    ///
    /// What `take` has been given is worth nothing where this ends in an error.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        disk: D,
        options: Options,
        needed: Number,
        take: Take<'_>,
        wake: Wake,
    ) -> Result<Opened<D>, OpenError> {
        let mut opened = Self::open_without_threads(disk, options, needed, take, wake)?;
        let log = &mut opened.log;
        let syncer = Arc::clone(&log.shared);
        let maker = Arc::clone(&log.shared);
        for (name, run) in [
            ("journal-sync", Box::new(move || syncer.run_syncer()) as Box<dyn FnOnce() + Send>),
            ("journal-make", Box::new(move || maker.run_maker())),
        ] {
            let thread = std::thread::Builder::new().name(name.into()).spawn(run);
            log.threads.push(thread.map_err(OpenError::io("a thread of the log", "started"))?);
        }
        Ok(opened)
    }

    /// As [`FileLog::open`], but nothing is synced, made or taken back before [`FileLog::work`]
    /// is called: for tests that choose the order of everything.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_without_threads(
        disk: D,
        options: Options,
        needed: Number,
        take: Take<'_>,
        wake: Wake,
    ) -> Result<Opened<D>, OpenError> {
        let names = disk.names().map_err(OpenError::io("the folder", "read"))?;
        let manifest = read_manifest(&disk, &names)?;
        scan::check_unlisted(&disk, &manifest, &names)?;
        if needed < manifest.first {
            let lost = (needed, Some(Number(manifest.first.0.saturating_sub(1))));
            let file = manifest::NAME.into();
            let damage = Damage { file, offset: 0, what: Fault::Cut, lost };
            return Err(OpenError::Damaged(damage));
        }
        let scanned = scan::scan(&disk, &manifest, take)?;
        sync_kept(&disk, &scanned)?;
        let manifest = scan::reopened(&manifest, &scanned);
        let Scanned { next, tail, .. } = scanned;
        let log = Self::begin(disk, options, manifest, &names, next, wake)?;
        Ok(Opened { log, tail })
    }

    /// Begins a new segment behind the records that were read.
    fn begin(
        disk: D,
        options: Options,
        manifest: Manifest,
        names: &[String],
        next: Number,
        wake: Wake,
    ) -> Result<Self, OpenError> {
        let epoch = manifest.epoch;
        let last = Number(next.0.saturating_sub(1));
        let spares = scan::leftover(&disk, &manifest, names);
        let shared = Arc::new(Shared::new(
            disk,
            options,
            State {
                manifest,
                written: last,
                durable: last,
                flush_to: last,
                dirty: Vec::new(),
                failed: None,
                wanted: Wanted::Segment(options.segment_bytes),
                prepared: None,
                make_error: None,
                cut: Number(0),
                notes_durable: false,
                spares: Vec::new(),
                doubtful: Vec::new(),
                random: fastrand::Rng::with_seed(fastrand::u64(..)),
                is_closing: false,
            },
            wake,
        ));
        // The manifest that names the new segment also ends the older epoch, and is written before
        // any file is removed.
        shared.make_once();
        let active = {
            let mut state = shared.lock();
            if let Some(error) = state.make_error.take() {
                return Err(OpenError::io("a segment", "made")(error));
            }
            if let Some(failed) = &state.failed {
                let error = std::io::Error::other(failed.to_string());
                return Err(OpenError::io("a segment", "made")(error));
            }
            state.wanted = Wanted::Segment(options.segment_bytes);
            state.prepared.take()
        };
        let Some(active) = active else {
            return Err(OpenError::io("a segment", "made")(std::io::ErrorKind::Other.into()));
        };
        let spares = spares.into_iter().filter(|spare| spare.name != segment::name(active.id));
        shared.keep_spares(spares.collect());
        let (end, bytes, threads) = (RECORDS_AT as u64, Vec::new(), Vec::new());
        Ok(Self { shared, epoch, active, end, last, bytes, threads })
    }

    /// The right to append.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The number by which this journal is told from others.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.shared.lock().manifest.journal
    }

    /// The number of the last record.
    #[must_use]
    pub const fn last(&self) -> Number {
        self.last
    }

    /// Does one thing that the threads would do: a sync, a segment, or a removal. False where there
    /// is nothing to do.
    pub fn work(&self) -> bool {
        self.shared.make_once() || self.shared.sync_once()
    }

    /// Makes everything that was appended durable, on this thread.
    ///
    /// # Errors
    /// Where the log has failed, or fails now.
    pub fn sync(&mut self) -> Result<(), LogFailed> {
        {
            let mut state = self.shared.lock();
            state.flush_to = state.written;
        }
        while self.durable()? < self.last {
            self.shared.sync_once();
        }
        Ok(())
    }

    /// Makes everything durable, and notes that the journal ends here. Nothing more can be
    /// appended.
    ///
    /// # Errors
    /// Where the log has failed, or fails now.
    pub fn close(&mut self) -> Result<(), LogFailed> {
        self.flush();
        self.end_threads();
        while self.shared.sync_once() {}
        let manifest = {
            let mut state = self.shared.lock();
            if let Some(failed) = &state.failed {
                return Err(failed.clone());
            }
            state.seal(self.active.id, self.end);
            if let Some(unused) = state.prepared.take() {
                state.manifest.segments.retain(|segment| segment.id != unused.id);
            }
            Manifest { durable: state.durable, ..state.manifest.clone() }
        };
        // The segments are finished.
        self.shared.lock().failed = Some(LogFailed { reason: "it was closed".into() });
        let written = manifest.write(&self.shared.disk);
        written.map_err(|error| LogFailed::of("the manifest", &error))
    }

    /// Ends the threads: from now on the caller does by [`FileLog::work`] what they did.
    pub fn end_threads(&mut self) {
        self.shared.lock().is_closing = true;
        self.shared.to_sync.notify_all();
        self.shared.to_make.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has done nothing more: what it did not sync is not durable.
            let _ = thread.join();
        }
    }

    /// Goes on to a segment with room for a record of so many bytes.
    fn roll(&mut self, bytes: u64) -> Result<(), AppendError> {
        let wanted = bytes + RECORDS_AT as u64;
        let mut state = self.shared.lock();
        loop {
            if let Some(failed) = &state.failed {
                return Err(failed.clone().into());
            }
            if let Some(prepared) = state.prepared.take() {
                state.seal(self.active.id, self.end);
                self.active = prepared;
                self.end = RECORDS_AT as u64;
                let usual = self.shared.options.segment_bytes;
                let is_enough = wanted <= self.active.bytes;
                state.wanted = Wanted::Segment(if is_enough { usual } else { wanted });
                self.shared.to_make.notify_one();
                if is_enough {
                    return Ok(());
                }
                continue;
            }
            if let Some(error) = state.make_error.take() {
                // The next call tries it again.
                return Err(AppendError::NoRoom(error));
            }
            if state.wanted == Wanted::Nothing {
                state.wanted = Wanted::Segment(wanted);
            }
            if self.threads.is_empty() {
                drop(state);
                self.shared.make_once();
                state = self.shared.lock();
            } else {
                self.shared.to_make.notify_one();
                state = Shared::<D>::wait(&self.shared.done, state);
            }
        }
    }
}

impl<D: Disk> Log for FileLog<D> {
    fn append(&mut self, epoch: Epoch, record: &[u8]) -> Result<Number, AppendError> {
        if epoch != self.epoch {
            return Err(AppendError::Fenced { own: epoch.0, current: self.epoch.0 });
        }
        if record.len() > RECORD_BYTES_MAX {
            return Err(AppendError::TooLong { bytes: record.len(), max: RECORD_BYTES_MAX });
        }
        let size = record::size(record.len()) as u64;
        if self.end + size > self.active.bytes {
            self.roll(size)?;
        }
        let mark = {
            let state = self.shared.lock();
            if let Some(failed) = &state.failed {
                return Err(failed.clone().into());
            }
            state.durable
        };
        let number = self.last.next();
        record::encode(Head { salt: self.active.salt, number, mark }, record, &mut self.bytes);
        let written = self.active.file.write_at(self.end, &self.bytes);
        let mut state = self.shared.lock();
        match written {
            Ok(()) => {}
            // What was written of the record is written over by the next one.
            Err(error) if is_want_of_room(&error) => return Err(AppendError::NoRoom(error)),
            Err(error) => {
                let failed = LogFailed::of("a write", &error);
                state.failed = Some(failed.clone());
                return Err(failed.into());
            }
        }
        state.written = number;
        if !state.dirty.last().is_some_and(|file| Arc::ptr_eq(file, &self.active.file)) {
            state.dirty.push(Arc::clone(&self.active.file));
        }
        (self.last, self.end) = (number, self.end + size);
        if self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
        Ok(number)
    }

    fn flush(&mut self) {
        let mut state = self.shared.lock();
        state.flush_to = state.written;
        drop(state);
        self.shared.to_sync.notify_one();
    }

    fn durable(&self) -> Result<Number, LogFailed> {
        let state = self.shared.lock();
        match &state.failed {
            Some(failed) => Err(failed.clone()),
            None => Ok(state.durable),
        }
    }

    fn rest(&mut self) {
        let mut state = self.shared.lock();
        state.make_error = None;
        state.notes_durable |= state.manifest.durable < state.durable;
        state.manifest.durable = state.durable;
        drop(state);
        self.shared.to_make.notify_one();
    }

    fn cut(&mut self, through: Number) {
        let mut state = self.shared.lock();
        state.make_error = None;
        state.cut = state.cut.max(through);
        drop(state);
        self.shared.to_make.notify_one();
    }
}

impl<D: Disk> Drop for FileLog<D> {
    fn drop(&mut self) {
        self.end_threads();
    }
}

fn read_manifest<D: Disk>(disk: &D, names: &[String]) -> Result<Manifest, OpenError> {
    let what = match Manifest::read(disk) {
        Ok(manifest) => return Ok(manifest),
        Err(Unreadable::Format(found)) => {
            return Err(OpenError::Format { found, expected: manifest::FORMAT });
        }
        Err(Unreadable::Io(error)) => return Err(OpenError::io(manifest::NAME, "read")(error)),
        Err(Unreadable::Missing) if names.iter().all(|name| segment::id_of(name).is_none()) => {
            // Before the first segment: a segment without a manifest is damage.
            let manifest = Manifest::new(fastrand::u64(..));
            let written = manifest.write(disk);
            written.map_err(OpenError::io(manifest::NAME, "written"))?;
            return Ok(manifest);
        }
        Err(Unreadable::Missing) => Fault::Missing,
        Err(Unreadable::Bad) => Fault::Manifest,
    };
    let lost = (Number(1), None);
    Err(OpenError::Damaged(Damage { file: manifest::NAME.into(), offset: 0, what, lost }))
}

/// What was read need not be durable: the process that wrote it may have been killed before its
/// sync.
fn sync_kept<D: Disk>(disk: &D, scanned: &Scanned) -> Result<(), OpenError> {
    for (segment, _) in scanned.segments.iter().filter(|(segment, _)| segment.seal.is_none()) {
        let name = segment::name(segment.id);
        let file = disk.open(&name).map_err(OpenError::io(&name, "opened"))?;
        file.sync().map_err(OpenError::io(&name, "synced"))?;
    }
    Ok(())
}
