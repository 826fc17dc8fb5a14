//! Copies of journals and of segments. A copy holds whole records and nothing else, and all of its
//! segments are finished: so no byte of it is taken for an unsynced tail.

use std::io;

use crate::Number;
use crate::damage::{Damage, Fault, OpenError};
use crate::disk::{Disk, DiskFile};
use crate::document::Unreadable;
use crate::manifest::{self, Manifest, Seal, Segment};
use crate::scan::{self, Scanned};
use crate::segment::{self, Identity, RECORDS_AT};

/// Why a journal was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The process that has the journal open took back what was to be copied. Another try begins
    /// with a newer record.
    #[error("the journal was cut while it was copied")]
    Cut,
    /// Something is damaged, or can't be read or written. Damage may also be a record that was
    /// being written, or a segment that was being used again: only damage that stays is some.
    #[error(transparent)]
    Failed(#[from] OpenError),
}

/// Copies the records of a journal from `needed` on into a folder without one, durably; the number
/// of the last record in the copy, or of the one before `needed` where there was none.
///
/// Another process may have the journal open meanwhile, and nothing is changed for it. Every record
/// that was written when this was called is in the copy. Of those that are written meanwhile some
/// may be, without a gap.
///
/// # Errors
/// See [`CopyError`]. What was copied until then is no journal.
pub fn copy<D: Disk, T: Disk>(from: &D, to: &T, needed: Number) -> Result<Number, CopyError> {
    let manifest = begin_at(read(from)?, needed).ok_or(CopyError::Cut)?;
    let copied = scan::scan(from, &manifest, &mut |_, _| Ok(()))
        .and_then(|scanned| copy_all(from, to, &manifest, &scanned));
    // A file is used again only when the manifest on the disk does not name it any more. So what
    // was read is the journal's own, where the manifest names it still.
    let now = read(from)?;
    let is_named = |segment: &Segment| {
        now.segments.iter().any(|other| (other.id, other.salt) == (segment.id, segment.salt))
    };
    if !manifest.segments.iter().all(is_named) {
        return Err(CopyError::Cut);
    }
    let (copy, files) = copied?;
    for (segment, file) in copy.segments.iter().zip(files) {
        file.sync().map_err(OpenError::io(&segment::name(segment.id), "written"))?;
    }
    copy.write(to).map_err(OpenError::io(manifest::NAME, "written"))?;
    Ok(copy.durable)
}

/// The manifest without the segments before this record; `None` where the record was cut.
fn begin_at(mut manifest: Manifest, needed: Number) -> Option<Manifest> {
    let is_old = |segment: &&Segment| segment.seal.is_some_and(|seal| seal.last < needed);
    let old = manifest.segments.iter().take_while(is_old).count();
    let seal = manifest.segments.drain(..old).next_back().and_then(|segment| segment.seal);
    manifest.first = seal.map_or(manifest.first, |seal| seal.last.next());
    (manifest.first <= needed).then_some(manifest)
}

fn read<D: Disk>(disk: &D) -> Result<Manifest, OpenError> {
    let what = match Manifest::read(disk) {
        Ok(manifest) => return Ok(manifest),
        Err(Unreadable::Format(found)) => {
            return Err(OpenError::Format { found, expected: manifest::FORMAT });
        }
        Err(Unreadable::Io(error)) => return Err(OpenError::io(manifest::NAME, "read")(error)),
        Err(Unreadable::Missing) => Fault::Missing,
        Err(Unreadable::Bad) => Fault::Manifest,
    };
    let lost = (Number(1), None);
    Err(OpenError::Damaged(Damage { file: manifest::NAME.into(), offset: 0, what, lost }))
}

/// Copies all segments that hold records; the manifest of the copy, and its files, which are not
/// synced: no sync is waited for while segments may be used again.
fn copy_all<D: Disk, T: Disk>(
    from: &D,
    to: &T,
    manifest: &Manifest,
    scanned: &Scanned,
) -> Result<(Manifest, Vec<T::File>), OpenError> {
    let mut copy = scan::reopened(manifest, scanned);
    let mut files = Vec::new();
    for (own, (segment, seal)) in copy.segments.iter_mut().zip(&scanned.segments) {
        let first = first_of(scanned, segment, manifest.first);
        let (identity, from_file) = (identity(manifest.journal, segment, own.id), (segment, *seal));
        let (segment, file) = copy_segment(from, to, identity, from_file, first)?;
        *own = segment;
        files.push(file);
    }
    Ok((copy, files))
}

/// Who a copy of a segment is.
pub(crate) const fn identity(journal: u64, segment: &Segment, id: u64) -> Identity {
    Identity { journal, id, salt: segment.salt }
}

/// The number of the first record in a segment.
pub(crate) fn first_of(scanned: &Scanned, segment: &Segment, first: Number) -> Number {
    let before = scanned.segments.iter().take_while(|(other, _)| other.id != segment.id);
    before.last().map_or(first, |(_, seal)| seal.last.next())
}

/// Copies the records of a segment into a new file, which the caller syncs. They are checked again:
/// they may have changed, or the system may have forgotten them, since they were read.
pub(crate) fn copy_segment<D: Disk, T: Disk>(
    from: &D,
    to: &T,
    identity: Identity,
    (segment, seal): (&Segment, Seal),
    first: Number,
) -> Result<(Segment, T::File), OpenError> {
    let Identity { id, salt, .. } = identity;
    let old = segment::name(segment.id);
    let damaged = |what| {
        let (file, lost) = (old.clone(), (first, Some(seal.last)));
        OpenError::Damaged(Damage { file, offset: RECORDS_AT as u64, what, lost })
    };
    let mut bytes = scan::bytes_of(from, &old, seal.end)?.map_err(damaged)?;
    bytes.truncate(usize::try_from(seal.end).unwrap_or(usize::MAX));
    if !scan::has_records(&bytes, salt, first, seal.last) {
        return Err(damaged(Fault::Record));
    }
    bytes.splice(..RECORDS_AT, segment::encode(identity));
    let name = segment::name(id);
    let write = || {
        match to.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = to.create(&name)?;
        file.write_at(0, &bytes)?;
        Ok(file)
    };
    let file = write().map_err(OpenError::io(&name, "written"))?;
    Ok((Segment { id, salt, bytes: seal.end, seal: Some(seal) }, file))
}
