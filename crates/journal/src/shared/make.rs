//! The maker: segments are prepared before they are needed, and taken back when they are not.

use std::io;
use std::sync::Arc;

use super::{Prepared, Shared, Spare, State, Wanted};
use crate::disk::{Disk, DiskFile};
use crate::log::LogFailed;
use crate::manifest::{self, Manifest};
use crate::segment::{self, Identity, RECORDS_AT};

/// Zeros are written in parts of this size.
const ZEROS: usize = 1 << 20;
/// After so many parts the file is synced, so that the syncs of records do not wait behind a whole
/// segment.
const PARTS_PER_SYNC: usize = 4;

impl<D: Disk> Shared<D> {
    /// Takes back segments, or prepares one; false where there is nothing to do.
    pub(crate) fn make_once(&self) -> bool {
        let turn = self.making.take();
        let state = self.lock();
        if !state.has_work_for_maker() {
            return false;
        }
        let is_back = state.notes_durable || state.cut_segments() > 0;
        let wanted = state.wanted;
        drop(state);
        if is_back {
            self.take_back();
        } else if let Wanted::Segment(bytes) = wanted {
            self.prepare(bytes);
        }
        drop(turn);
        self.done.notify_all();
        true
    }

    /// Gives back spares while the log rests; false where there is nothing to do.
    pub(crate) fn trim_once(&self) -> bool {
        let _turn = self.making.take();
        let is_due = self.lock().has_spares_to_trim();
        if is_due {
            self.trim(0);
        }
        is_due
    }

    /// Gives back all spares but so many.
    pub(crate) fn trim(&self, kept: usize) {
        let mut state = self.lock();
        let kept = kept.min(state.spares.len());
        let gone = state.spares.split_off(kept);
        drop(state);
        gone.iter().for_each(|spare| self.remove(spare));
    }

    /// A failed write of the manifest: which one the disk has is not known, and none of its
    /// segments was used. The next one replaces it.
    fn note_failure(&self, error: io::Error) {
        let mut state = self.lock();
        if is_want_of_room(&error) {
            state.make_error = Some(error);
        } else {
            state.failed = Some(LogFailed::of("making a segment, or the manifest,", &error));
            drop(state);
            self.tell();
        }
    }

    /// Writes the manifest, without the segments that are no longer needed.
    fn take_back(&self) {
        let (manifest, gone) = {
            let mut state = self.lock();
            state.notes_durable = false;
            let gone = state.drain_cut();
            (state.durable_manifest(), gone)
        };
        let gone = gone
            .iter()
            .map(|segment| Spare { name: segment::name(segment.id), bytes: segment.bytes });
        // Until the manifest is written, the one on the disk names them.
        self.lock().doubtful.extend(gone);
        if let Err(error) = self.write_manifest(&manifest) {
            self.lock().notes_durable = true;
            self.note_failure(error);
        }
    }

    /// Keeps some files for new segments, and removes the others.
    pub(crate) fn keep_spares(&self, files: Vec<Spare>) {
        for file in files {
            let mut state = self.lock();
            let is_kept = file.bytes == self.options.segment_bytes
                && state.spares.len() < self.options.spares;
            if is_kept {
                state.spares.push(file);
                continue;
            }
            drop(state);
            self.remove(&file);
        }
    }

    fn remove(&self, file: &Spare) {
        // A file that stays is found at the next start.
        if let Err(error) = self.disk.remove(&file.name) {
            tracing::warn!(file = file.name, %error, "a file of the log can't be removed");
        }
    }

    fn prepare(&self, bytes: u64) {
        let (identity, spare, size) = {
            let mut state = self.lock();
            let (journal, id) = (state.manifest.journal, state.manifest.next_segment);
            // Also where this fails: a manifest that names the id may reach the disk.
            state.manifest.next_segment = id + 1;
            let salt = state.random.u64(..);
            let size = bytes.max(self.options.segment_bytes);
            let spare = state.spare_for(id, size == self.options.segment_bytes);
            (Identity { journal, id, salt }, spare, size)
        };
        let made = match spare {
            Some(spare) => self.recycle(identity, &spare),
            None => self.create(identity, size),
        };
        let file = match made {
            Ok(file) => file,
            Err(error) => return self.note_failure(error),
        };
        let Identity { id, salt, .. } = identity;
        let segment = manifest::Segment { id, salt, bytes: size, seal: None };
        let mut manifest = self.lock().durable_manifest();
        manifest.segments.push(segment.clone());
        if let Err(error) = self.write_manifest(&manifest) {
            self.lock().doubtful.push(Spare { name: segment::name(id), bytes: size });
            return self.note_failure(error);
        }
        let mut state = self.lock();
        state.manifest.segments.push(segment);
        state.prepared = Some(Prepared { file: Arc::new(file), id, salt, bytes: size });
        state.wanted = Wanted::Nothing;
    }

    /// Writes the manifest. After that it is known what it names.
    pub(crate) fn write_manifest(&self, manifest: &Manifest) -> io::Result<()> {
        manifest.write(&self.disk)?;
        let known = std::mem::take(&mut self.lock().doubtful);
        self.keep_spares(known);
        Ok(())
    }

    /// Makes a file of zeros.
    fn create(&self, identity: Identity, size: u64) -> io::Result<D::File> {
        let name = segment::name(identity.id);
        match self.disk.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create(&name)?;
        let filled = fill(&file, identity, size).and_then(|()| self.disk.sync_names());
        if let Err(error) = filled {
            // Its room is needed, and the next try makes it anew.
            drop(file);
            return Err(self.disk.remove(&name).err().unwrap_or(error));
        }
        Ok(file)
    }

    /// Gives an old file a new head and a new name. Its records are no longer records, because
    /// their salt is another. Where it fails, the file is a spare as before.
    fn recycle(&self, identity: Identity, spare: &Spare) -> io::Result<D::File> {
        let name = segment::name(identity.id);
        let keep = |name: &str, error| {
            self.keep_spares(vec![Spare { name: name.to_owned(), bytes: spare.bytes }]);
            error
        };
        let file = self.recycle_file(identity, &spare.name, &name);
        let file = file.map_err(|error| keep(&spare.name, error))?;
        self.disk.sync_names().map_err(|error| keep(&name, error))?;
        Ok(file)
    }

    fn recycle_file(&self, identity: Identity, from: &str, to: &str) -> io::Result<D::File> {
        let file = self.disk.open(from)?;
        file.write_at(0, &segment::encode(identity))?;
        file.sync()?;
        self.disk.rename(from, to)?;
        Ok(file)
    }
}

impl<F> State<F> {
    /// A spare for the segment with this id, where one may be used. The file that has the name
    /// already is none beside it.
    fn spare_for(&mut self, id: u64, may_be_used: bool) -> Option<Spare> {
        let name = segment::name(id);
        let own = self.spares.iter().position(|spare| spare.name == name);
        let own = own.map(|index| self.spares.swap_remove(index));
        if may_be_used { own.or_else(|| self.spares.pop()) } else { None }
    }
}

fn fill(file: &impl DiskFile, identity: Identity, size: u64) -> io::Result<()> {
    file.write_at(0, &segment::encode(identity))?;
    let zeros = vec![0; ZEROS];
    let mut at = RECORDS_AT as u64;
    let mut parts = 0;
    while at < size {
        let count = usize::try_from(size - at).unwrap_or(ZEROS).min(ZEROS);
        file.write_at(at, zeros.get(..count).unwrap_or_default())?;
        at += count as u64;
        parts += 1;
        if parts % PARTS_PER_SYNC == 0 {
            file.sync()?;
        }
    }
    file.sync()
}

/// True where the same may succeed later: the disk is full, or too many files are open.
pub(crate) fn is_want_of_room(error: &io::Error) -> bool {
    /// ENFILE and EMFILE, which have no [`io::ErrorKind`] of their own; the same on all Unixes.
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    ) || (cfg!(unix) && error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code)))
}
