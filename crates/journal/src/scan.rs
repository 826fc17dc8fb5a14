//! Reads all records of a journal, and judges what can't be read: damage, or the unsynced tail.

use crate::Number;
use crate::damage::{Damage, Fault, OpenError, Tail};
use crate::disk::{Disk, DiskFile};
use crate::manifest::{self, Manifest, Seal, Segment};
use crate::record::{self, Found};
use crate::segment::{self, Identity, RECORDS_AT};
use crate::shared::Spare;
use crate::take::Take;

/// What was read.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// The number behind the last record.
    pub(crate) next: Number,
    /// The segments that hold records, each with the end of its records.
    pub(crate) segments: Vec<(Segment, Seal)>,
    pub(crate) tail: Option<Tail>,
}

struct Scan<'a> {
    journal: u64,
    next: Number,
    /// The highest number that the manifest or a record calls durable.
    mark: Number,
    /// The file of the last record that was taken, and where the record ends.
    place: Option<(String, u64)>,
    tail: Option<Tail>,
    segments: Vec<(Segment, Seal)>,
    take: Take<'a>,
}

/// Reads the records of all segments in their order.
pub(crate) fn scan<D: Disk>(
    disk: &D,
    manifest: &Manifest,
    take: Take<'_>,
) -> Result<Scanned, OpenError> {
    let mut scan = Scan {
        journal: manifest.journal,
        next: manifest.first,
        mark: manifest.durable,
        place: None,
        tail: None,
        segments: Vec::new(),
        take,
    };
    for segment in &manifest.segments {
        scan.segment(disk, segment)?;
    }
    let Scan { next, mark, place, tail, segments, .. } = scan;
    if next <= mark {
        let (file, offset) = place.unwrap_or_else(|| (manifest::NAME.into(), 0));
        let lost = (next, Some(mark));
        return Err(OpenError::Damaged(Damage { file, offset, what: Fault::Record, lost }));
    }
    Ok(Scanned { next, segments, tail })
}

/// The bytes of a file of which `least` bytes must be there.
pub(crate) fn bytes_of<D: Disk>(
    disk: &D,
    name: &str,
    least: u64,
) -> Result<Result<Vec<u8>, Fault>, OpenError> {
    let file = match disk.open(name) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Err(Fault::Missing));
        }
        opened => opened.map_err(OpenError::io(name, "opened"))?,
    };
    let length = file.length().map_err(OpenError::io(name, "read"))?;
    if length < least.max(RECORDS_AT as u64) {
        return Ok(Err(Fault::Short));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_at(0, &mut bytes).map_err(OpenError::io(name, "read"))?;
    Ok(Ok(bytes))
}

impl Scan<'_> {
    fn damage(&self, file: &str, offset: usize, what: Fault, last: Option<Number>) -> OpenError {
        let (file, offset) = (file.to_owned(), offset as u64);
        OpenError::Damaged(Damage { file, offset, what, lost: (self.next, last) })
    }

    fn segment<D: Disk>(&mut self, disk: &D, segment: &Segment) -> Result<(), OpenError> {
        let name = segment::name(segment.id);
        let last = segment.seal.map(|seal| seal.last);
        let bytes = bytes_of(disk, &name, segment.bytes)?
            .map_err(|fault| self.damage(&name, 0, fault, last))?;
        let own = Identity { journal: self.journal, id: segment.id, salt: segment.salt };
        if segment::decode(&bytes) != Some(own) {
            return Err(self.damage(&name, 0, Fault::Head, last));
        }
        let end = match segment.seal {
            Some(seal) => self.sealed(&name, &bytes, segment.salt, seal)?,
            None => self.open_ended(&name, &bytes, segment.salt)?,
        };
        if end > RECORDS_AT {
            let seal = Seal { last: Number(self.next.0.saturating_sub(1)), end: end as u64 };
            self.segments.push((segment.clone(), seal));
        }
        Ok(())
    }

    /// Takes the record at a place, where it is the next; where it ends.
    fn take(&mut self, bytes: &[u8], at: usize, salt: u64) -> Result<Option<usize>, OpenError> {
        match record::read(bytes, at, salt) {
            Found::Record { head, body, end } if head.number == self.next => {
                let body = bytes.get(body).unwrap_or_default();
                (self.take)(head.number, body)
                    .map_err(|error| OpenError::Refused(head.number, error))?;
                self.mark = self.mark.max(head.mark);
                self.next = self.next.next();
                Ok(Some(end))
            }
            _ => Ok(None),
        }
    }

    /// A finished segment: all its records were durable, or were read at an earlier start.
    fn sealed(
        &mut self,
        name: &str,
        bytes: &[u8],
        salt: u64,
        seal: Seal,
    ) -> Result<usize, OpenError> {
        let mut at = RECORDS_AT;
        while (at as u64) < seal.end {
            at = self
                .take(bytes, at, salt)?
                .ok_or_else(|| self.damage(name, at, Fault::Record, Some(seal.last)))?;
        }
        if self.next == seal.last.next() {
            self.place = Some((name.to_owned(), at as u64));
            Ok(at)
        } else {
            Err(self.damage(name, at, Fault::Record, Some(seal.last)))
        }
    }

    /// A segment to which records may have been added up to the end; where its records end.
    fn open_ended(&mut self, name: &str, bytes: &[u8], salt: u64) -> Result<usize, OpenError> {
        let mut at = RECORDS_AT;
        while let Some(end) = self.take(bytes, at, salt)? {
            at = end;
            // What looked like a tail is the beginning of this record: there was no room for the
            // rest of it in the segment before.
            self.tail = None;
        }
        let end = at;
        if end > RECORDS_AT || self.place.is_none() {
            self.place = Some((name.to_owned(), end as u64));
        }
        while let Some(found) = record::find(bytes, at, salt) {
            let (head, behind) = match record::read(bytes, found, salt) {
                Found::Record { head, end, .. } => (head, end),
                Found::BadBody { head, end } => (head, end.min(bytes.len())),
                Found::Nothing => break,
            };
            self.mark = self.mark.max(head.mark);
            self.note_tail(found, behind);
            at = behind;
        }
        Ok(end)
    }

    /// Notes a record that is not the next one: it lies behind a gap, or is torn.
    fn note_tail(&mut self, from: usize, to: usize) {
        let first = self.next;
        let (file, offset) = self.place.clone().unwrap_or_default();
        let tail = self.tail.get_or_insert(Tail { file, offset, first, bytes: 0, records: 0 });
        tail.bytes += (to - from) as u64;
        tail.records += 1;
    }
}

/// Refuses files that a manifest should know: then the manifest is an older one.
pub(crate) fn check_unlisted<D: Disk>(
    disk: &D,
    manifest: &Manifest,
    names: &[String],
) -> Result<(), OpenError> {
    for name in names {
        let Some(id) = segment::id_of(name).filter(|id| *id >= manifest.next_segment) else {
            continue;
        };
        let Ok(bytes) = bytes_of(disk, name, 0)? else { continue };
        let Some(identity) = segment::decode(&bytes) else { continue };
        let is_own = identity.journal == manifest.journal && identity.id == id;
        if is_own && let Some(at) = record::find(&bytes, RECORDS_AT, identity.salt) {
            let first = match record::read(&bytes, at, identity.salt) {
                Found::Record { head, .. } | Found::BadBody { head, .. } => head.number,
                Found::Nothing => Number(0),
            };
            return Err(OpenError::Damaged(Damage {
                file: name.clone(),
                offset: at as u64,
                what: Fault::Unlisted,
                lost: (first, None),
            }));
        }
    }
    Ok(())
}

/// True where these bytes of a segment are records with these numbers, and nothing else.
pub(crate) fn has_records(bytes: &[u8], salt: u64, first: Number, last: Number) -> bool {
    let (mut at, mut next) = (RECORDS_AT, first);
    while at < bytes.len() {
        match record::read(bytes, at, salt) {
            Found::Record { head, end, .. } if head.number == next => {
                (at, next) = (end, next.next());
            }
            _ => return false,
        }
    }
    next == last.next()
}

/// The manifest that a new opening begins with: every segment finished where its records end.
pub(crate) fn reopened(manifest: &Manifest, scanned: &Scanned) -> Manifest {
    let segments = scanned
        .segments
        .iter()
        .map(|(segment, seal)| Segment { seal: Some(*seal), ..segment.clone() })
        .collect::<Vec<_>>();
    let first = if segments.is_empty() { scanned.next } else { manifest.first };
    let durable = Number(scanned.next.0.saturating_sub(1));
    Manifest { first, durable, segments, ..manifest.clone() }
}

/// The files of segments that the manifest does not name.
pub(crate) fn leftover<D: Disk>(disk: &D, manifest: &Manifest, names: &[String]) -> Vec<Spare> {
    let is_listed = |id: u64| manifest.segments.iter().any(|segment| segment.id == id);
    names
        .iter()
        .filter(|name| segment::id_of(name).is_some_and(|id| !is_listed(id)))
        .map(|name| {
            let bytes = disk.open(name).and_then(|file| file.length()).unwrap_or(0);
            Spare { name: name.clone(), bytes }
        })
        .collect()
}
