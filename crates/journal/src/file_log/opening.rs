//! Opening a log: what was read is made durable anew, and a segment is begun behind it.

use std::sync::Arc;

use super::{FileLog, Opened};
use crate::copy;
use crate::damage::{Damage, Fault, OpenError};
use crate::disk::{Disk, DiskFile};
use crate::document::Unreadable;
use crate::log::Wake;
use crate::manifest::{self, Manifest, Seal, Segment};
use crate::scan::{self, Scanned};
use crate::segment::{self, RECORDS_AT};
use crate::shared::{Shared, Spare, State, Wanted};
use crate::take::Take;
use crate::{Epoch, Number, Options};

impl<D: Disk> FileLog<D> {
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
        let last = Number(scanned.next.0.saturating_sub(1));
        let begun = begin_epoch(&disk, &manifest, &scanned)?;
        let (manifest, dropped) = copy_kept(&disk, &begun, &scanned)?;
        // A copy may have taken the name of such a file.
        let mut leftover = scan::leftover(&disk, &begun, &names);
        leftover.retain(|spare| !manifest.names(&spare.name));
        let state = begin_state(manifest, last, dropped, options);
        let shared = Arc::new(Shared::new(disk, options, state, wake));
        shared.keep_spares(leftover);
        let log = Self::begin(shared, last)?;
        Ok(Opened { log, tail: scanned.tail })
    }

    /// Begins a new segment behind the records that were read.
    fn begin(shared: Arc<Shared<D>>, last: Number) -> Result<Self, OpenError> {
        shared.make_once();
        let (active, epoch) = {
            let mut state = shared.lock();
            if let Some(error) = state.make_error.take() {
                return Err(OpenError::io("a segment", "made")(error));
            }
            if let Some(failed) = &state.failed {
                let error = std::io::Error::other(failed.to_string());
                return Err(OpenError::io("a segment", "made")(error));
            }
            state.wanted = Wanted::Segment(shared.options.segment_bytes);
            (state.prepared.take(), state.manifest.epoch)
        };
        let Some(active) = active else {
            return Err(OpenError::io("a segment", "made")(std::io::ErrorKind::Other.into()));
        };
        let (end, bytes, threads) = (RECORDS_AT as u64, Vec::new(), Vec::new());
        Ok(Self { shared, epoch, active, end, last, is_torn: false, bytes, threads })
    }
}

fn begin_state<F>(
    manifest: Manifest,
    last: Number,
    doubtful: Vec<Spare>,
    options: Options,
) -> State<F> {
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
        is_resting: false,
        spares: Vec::new(),
        doubtful,
        random: fastrand::Rng::with_seed(fastrand::u64(..)),
        is_closing: false,
    }
}

fn read_manifest<D: Disk>(disk: &D, names: &[String]) -> Result<Manifest, OpenError> {
    let what = match Manifest::read(disk) {
        Ok(manifest) => return Ok(manifest),
        Err(Unreadable::Format(found)) => {
            return Err(OpenError::Format { found, expected: manifest::FORMAT });
        }
        Err(Unreadable::Io(error)) => return Err(OpenError::io(manifest::NAME, "read")(error)),
        // A segment without a manifest is damage: a manifest is written before the first one.
        Err(Unreadable::Missing) if names.iter().all(|name| segment::id_of(name).is_none()) => {
            return Ok(Manifest::new(fastrand::u64(..)));
        }
        Err(Unreadable::Missing) => Fault::Missing,
        Err(Unreadable::Bad) => Fault::Manifest,
    };
    let lost = (Number(1), None);
    Err(OpenError::Damaged(Damage { file: manifest::NAME.into(), offset: 0, what, lost }))
}

/// The segments whose records need not be durable: the process that wrote them may have ended
/// before its sync, or because a sync failed.
fn kept(scanned: &Scanned) -> impl Iterator<Item = &(Segment, Seal)> {
    scanned.segments.iter().filter(|(segment, _)| segment.seal.is_none())
}

/// Writes the manifest as it was read, with a higher epoch, and with ids for copies. After that no
/// loss of power brings an older one back: files that it does not name may be used again.
fn begin_epoch<D: Disk>(
    disk: &D,
    read: &Manifest,
    scanned: &Scanned,
) -> Result<Manifest, OpenError> {
    let begun = Manifest {
        epoch: Epoch(read.epoch.0 + 1),
        next_segment: read.next_segment + kept(scanned).count() as u64,
        ..read.clone()
    };
    begun.write(disk).map_err(OpenError::io(manifest::NAME, "written"))?;
    Ok(begun)
}

/// Writes what was kept, and need not be durable, into new files: after a failed sync the system
/// has it in memory, takes it for written, and another sync of the same file does nothing.
///
/// Returns the manifest that names the copies, and the files that it does not name any more.
fn copy_kept<D: Disk>(
    disk: &D,
    begun: &Manifest,
    scanned: &Scanned,
) -> Result<(Manifest, Vec<Spare>), OpenError> {
    let mut manifest = scan::reopened(begun, scanned);
    let from = begun.next_segment - kept(scanned).count() as u64;
    for (id, (segment, seal)) in (from..).zip(kept(scanned)) {
        let first = copy::first_of(scanned, segment, begun.first);
        let identity = copy::identity(begun.journal, segment, id);
        let (copy, file) = copy::copy_segment(disk, disk, identity, (segment, *seal), first)?;
        file.sync().map_err(OpenError::io(&segment::name(id), "written"))?;
        let places = manifest.segments.iter_mut().filter(|other| other.id == segment.id);
        places.for_each(|place| *place = copy.clone());
    }
    if kept(scanned).next().is_some() {
        disk.sync_names().map_err(OpenError::io("the folder", "synced"))?;
    }
    let dropped =
        begun.segments.iter().filter(|segment| !manifest.names(&segment::name(segment.id)));
    let spare = |segment: &Segment| Spare { name: segment::name(segment.id), bytes: segment.bytes };
    let dropped = dropped.map(spare).collect();
    Ok((manifest, dropped))
}
