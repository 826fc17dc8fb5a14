//! What the journal and its two threads share: the syncer, which makes records durable, and the
//! maker, which prepares segments and takes back those that are no longer needed.

mod make;
mod turn;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::disk::{Disk, DiskFile};
use crate::log::{LogFailed, Wake};
use crate::manifest::Segment;
use crate::manifest::{Manifest, Seal};
use crate::{Number, Options};
pub(crate) use make::is_want_of_room;
use turn::Turn;

/// A log that has rested for so long gives its spares back.
const TRIM_AFTER: Duration = Duration::from_secs(10);

/// A segment that is ready for records.
#[derive(Debug)]
pub(crate) struct Prepared<F> {
    pub(crate) file: Arc<F>,
    pub(crate) id: u64,
    pub(crate) salt: u64,
    pub(crate) bytes: u64,
}

/// What is asked of the maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Nothing,
    /// A segment of at least so many bytes.
    Segment(u64),
}

pub(crate) struct State<F> {
    pub(crate) manifest: Manifest,
    pub(crate) written: Number,
    pub(crate) durable: Number,
    /// A sync up to here has been asked for.
    pub(crate) flush_to: Number,
    /// Files with records that are not synced, in their order.
    pub(crate) dirty: Vec<Arc<F>>,
    pub(crate) failed: Option<LogFailed>,
    pub(crate) wanted: Wanted,
    pub(crate) prepared: Option<Prepared<F>>,
    pub(crate) make_error: Option<std::io::Error>,
    /// Records up to here are no longer needed.
    pub(crate) cut: Number,
    /// The manifest is to be written though no segment comes or goes.
    pub(crate) notes_durable: bool,
    /// Nothing was appended since the caller said that it rests.
    pub(crate) is_resting: bool,
    /// Files that no manifest names.
    pub(crate) spares: Vec<Spare>,
    /// Files that the manifest on the disk may name, because writing it failed.
    pub(crate) doubtful: Vec<Spare>,
    pub(crate) random: fastrand::Rng,
    pub(crate) is_closing: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spare {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

pub(crate) struct Shared<D: Disk> {
    pub(crate) disk: D,
    pub(crate) options: Options,
    state: Mutex<State<D::File>>,
    /// Held by who syncs. A sync that overtook another would call durable what the other one still
    /// writes.
    pub(crate) syncing: Turn,
    /// Held by who makes, or takes back.
    pub(crate) making: Turn,
    /// Something is to be synced.
    pub(crate) to_sync: Condvar,
    /// Something is to be made or taken back.
    pub(crate) to_make: Condvar,
    /// The syncer or the maker has done something.
    pub(crate) done: Condvar,
    wake: Wake,
}

impl<D: Disk> Shared<D> {
    pub(crate) fn new(disk: D, options: Options, state: State<D::File>, wake: Wake) -> Self {
        Self {
            disk,
            options,
            state: Mutex::new(state),
            syncing: Turn::default(),
            making: Turn::default(),
            to_sync: Condvar::new(),
            to_make: Condvar::new(),
            done: Condvar::new(),
            wake,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State<D::File>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait<'a>(
        on: &Condvar,
        state: MutexGuard<'a, State<D::File>>,
    ) -> MutexGuard<'a, State<D::File>> {
        on.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes everything durable that was written when this was called; false where there is nothing
    /// to do. After a failure there never is: a second sync proves nothing.
    pub(crate) fn sync_once(&self) -> bool {
        let alone = self.syncing.take();
        let (files, target) = {
            let mut state = self.lock();
            if state.failed.is_some() || state.flush_to <= state.durable {
                return false;
            }
            (std::mem::take(&mut state.dirty), state.written)
        };
        let synced = files.iter().try_for_each(|file| file.sync());
        let mut state = self.lock();
        match synced {
            Ok(()) => state.durable = target,
            Err(error) => state.failed = Some(LogFailed::of("a sync", &error)),
        }
        drop((state, alone));
        self.tell();
        true
    }

    /// Says that [`Shared::durable`] has another answer.
    pub(crate) fn tell(&self) {
        self.done.notify_all();
        (self.wake)();
    }

    /// See [`Log::durable`](crate::Log::durable).
    pub(crate) fn durable(&self) -> Result<Number, LogFailed> {
        let state = self.lock();
        match &state.failed {
            Some(failed) => Err(failed.clone()),
            None => Ok(state.durable),
        }
    }

    /// See [`Log::cut`](crate::Log::cut).
    pub(crate) fn cut(&self, through: Number) {
        let mut state = self.lock();
        state.make_error = None;
        state.cut = state.cut.max(through);
        drop(state);
        self.to_make.notify_one();
    }

    /// The syncer.
    pub(crate) fn run_syncer(&self) {
        loop {
            while self.sync_once() {}
            let mut state = self.lock();
            while state.failed.is_some() || state.flush_to <= state.durable {
                if state.is_closing {
                    return;
                }
                state = Self::wait(&self.to_sync, state);
            }
        }
    }

    /// The maker.
    pub(crate) fn run_maker(&self) {
        loop {
            while self.make_once() {}
            let mut state = self.lock();
            while !state.has_work_for_maker() {
                if state.is_closing {
                    return;
                }
                state = self.wait_to_make(state);
            }
        }
    }

    /// Waits for something to make. Where the log rests for long, spares go meanwhile.
    fn wait_to_make<'a>(
        &'a self,
        state: MutexGuard<'a, State<D::File>>,
    ) -> MutexGuard<'a, State<D::File>> {
        if !state.has_spares_to_trim() {
            return Self::wait(&self.to_make, state);
        }
        let (state, waited) =
            self.to_make.wait_timeout(state, TRIM_AFTER).unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if waited.timed_out() {
            self.trim_once();
        }
        self.lock()
    }
}

impl<F> State<F> {
    /// Notes that the segment that was written so far has its last record.
    pub(crate) fn seal(&mut self, id: u64, end: u64) {
        let last = self.written;
        if let Some(segment) = self.manifest.segments.iter_mut().find(|segment| segment.id == id) {
            segment.seal = Some(Seal { last, end });
        }
    }

    /// The manifest as it may be written: a segment is finished when its records are durable.
    fn durable_manifest(&self) -> Manifest {
        let mut manifest = Manifest { durable: self.durable, ..self.manifest.clone() };
        for segment in &mut manifest.segments {
            segment.seal = segment.seal.filter(|seal| seal.last <= self.durable);
        }
        manifest
    }

    /// How many of the first segments are no longer needed.
    fn cut_segments(&self) -> usize {
        let through = self.cut.min(self.durable);
        let is_cut = |seal: Option<Seal>| seal.is_some_and(|seal| seal.last <= through);
        self.manifest.segments.iter().take_while(|segment| is_cut(segment.seal)).count()
    }

    /// Takes the segments that are no longer needed off the manifest.
    pub(crate) fn drain_cut(&mut self) -> Vec<Segment> {
        let count = self.cut_segments();
        let gone: Vec<_> = self.manifest.segments.drain(..count).collect();
        if let Some(seal) = gone.last().and_then(|segment| segment.seal) {
            self.manifest.first = seal.last.next();
        }
        gone
    }

    /// True where the log rests, and has spares.
    pub(crate) const fn has_spares_to_trim(&self) -> bool {
        self.is_resting && !self.spares.is_empty()
    }

    fn has_work_for_maker(&self) -> bool {
        let is_work =
            self.cut_segments() > 0 || self.notes_durable || self.wanted != Wanted::Nothing;
        // What failed for want of room is tried again when somebody asks for more.
        is_work && self.failed.is_none() && self.make_error.is_none()
    }
}
