//! The log in files.

mod close;
mod opening;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::damage::{OpenError, Tail};
use crate::disk::{Disk, DiskFile};
use crate::log::{AppendError, Log, LogFailed, Wake};
use crate::record::{self, HEAD, Head, RECORD_BYTES_MAX};
use crate::segment::RECORDS_AT;
use crate::shared::{Prepared, Shared, Wanted, is_want_of_room};
use crate::take::Take;
use crate::watch::Watch;
use crate::{Epoch, Number, Options};

/// The most memory that is kept for the next record.
const KEPT_BYTES: usize = 4 << 20;
/// A body of so many bytes is written where it lies, and not copied behind its head. The tests,
/// whose records are smaller, have both kinds.
const LARGE_BODY_BYTES: usize = if cfg!(test) { 2 << 10 } else { 1 << 20 };

/// A log in the files of a folder.
pub struct FileLog<D: Disk> {
    pub(crate) shared: Arc<Shared<D>>,
    epoch: Epoch,
    active: Prepared<D::File>,
    /// The end of the last record in the active segment.
    end: u64,
    last: Number,
    /// A part of a record that found no room may stand at `end`.
    is_torn: bool,
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
    /// needs. For `wake` see [`Wake`].
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

    /// True where no segment could be made for want of room when it was tried last. Records may
    /// still fit into those that are there.
    #[must_use]
    pub fn lacks_room(&self) -> bool {
        self.shared.lock().make_error.is_some()
    }

    /// A view of this log for other threads.
    #[must_use]
    pub fn watch(&self) -> Watch<D> {
        Watch::new(Arc::clone(&self.shared))
    }

    /// Does one thing that the threads would do: a sync, a segment, or a removal. False where there
    /// is nothing to do.
    pub fn work(&self) -> bool {
        self.shared.make_once() || self.shared.sync_once() || self.shared.trim_once()
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

    /// Goes on to a segment with room for a record of so many bytes.
    fn roll(&mut self, bytes: u64) -> Result<(), AppendError> {
        self.wipe()?;
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

impl<D: Disk> FileLog<D> {
    /// Writes zeros over the head of a record that found no room, before the segment is left: a
    /// record may be whole but for its last zeros, and would be read in place of the one that got
    /// its number.
    fn wipe(&mut self) -> Result<(), AppendError> {
        if self.is_torn {
            let written = self.active.file.write_at(self.end, &[0; HEAD]);
            self.note_written(written)?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// Writes a record behind the last one. The head of a large one comes last: before it nothing
    /// is seen of the record.
    fn write(&mut self, head: Head, body: &[u8]) -> io::Result<()> {
        let file = &self.active.file;
        if body.len() < LARGE_BODY_BYTES {
            record::encode(head, body, &mut self.bytes);
            return file.write_at(self.end, &self.bytes);
        }
        let body_at = self.end + HEAD as u64;
        file.write_at(body_at, body)?;
        let padding = record::size(body.len()) - HEAD - body.len();
        self.bytes.clear();
        self.bytes.resize(padding, 0);
        if padding > 0 {
            file.write_at(body_at + body.len() as u64, &self.bytes)?;
        }
        self.bytes.clear();
        record::push_head(head, body, &mut self.bytes);
        file.write_at(self.end, &self.bytes)
    }

    /// What a write to the active segment has come to: it needs a sync, whatever it was.
    fn note_written(&mut self, written: io::Result<()>) -> Result<(), AppendError> {
        let mut state = self.shared.lock();
        if !state.dirty.last().is_some_and(|file| Arc::ptr_eq(file, &self.active.file)) {
            state.dirty.push(Arc::clone(&self.active.file));
        }
        let Err(error) = written else { return Ok(()) };
        if is_want_of_room(&error) {
            // What was written of the record is written over by the next one.
            self.is_torn = true;
            return Err(AppendError::NoRoom(error));
        }
        let failed = LogFailed::of("a write", &error);
        state.failed = Some(failed.clone());
        drop(state);
        self.shared.tell();
        Err(failed.into())
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
        let written = self.write(Head { salt: self.active.salt, number, mark }, record);
        self.note_written(written)?;
        self.is_torn = false;
        {
            let mut state = self.shared.lock();
            (state.written, state.is_resting) = (number, false);
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
        self.shared.durable()
    }

    fn rest(&mut self) {
        let mut state = self.shared.lock();
        let is_news = state.make_error.take().is_some()
            || !std::mem::replace(&mut state.is_resting, true)
            || state.manifest.durable < state.durable;
        state.notes_durable |= state.manifest.durable < state.durable;
        state.manifest.durable = state.durable;
        drop(state);
        // Spares go when the maker has had nothing to do for long: nobody disturbs it without need.
        if is_news {
            self.shared.to_make.notify_one();
        }
    }

    fn cut(&mut self, through: Number) {
        self.shared.cut(through);
    }
}

impl<D: Disk> Drop for FileLog<D> {
    fn drop(&mut self) {
        self.end_threads();
    }
}
