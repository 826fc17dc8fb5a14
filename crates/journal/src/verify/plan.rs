//! Which segments a journal has, and in which order: by its manifest, or, where that is no good, by
//! the segments themselves.

use std::collections::BTreeMap;

use super::walk::walk;
use super::{FileFault, bytes_of};
use crate::Number;
use crate::damage::{Fault, OpenError};
use crate::disk::Disk;
use crate::document::Unreadable;
use crate::manifest::{self, Manifest, Segment};
use crate::record;
use crate::segment::{self, Identity, RECORDS_AT};

/// A segment that is to be read.
pub(super) struct Part {
    pub(super) id: u64,
    pub(super) salt: u64,
    /// No record begins here or behind.
    pub(super) end: u64,
    /// The number of its first record, where that is known without reading it.
    pub(super) begins: Option<Number>,
    /// Only records below count: a newer segment begins here.
    pub(super) below: Number,
}

pub(super) struct Plan {
    pub(super) journal: Option<u64>,
    /// The first record that the segments hold; `None` where they hold none.
    pub(super) first: Option<Number>,
    /// The highest number that the manifest or a record calls durable.
    pub(super) mark: Number,
    pub(super) parts: Vec<Part>,
    pub(super) faults: Vec<FileFault>,
}

/// What a segment says of itself.
struct Seen {
    /// Its head, where that is whole.
    head: Option<Identity>,
    salt: u64,
    bytes: u64,
    /// The first record, and the highest mark.
    first: Option<Number>,
    mark: Number,
}

pub(super) fn plan<D: Disk>(disk: &D) -> Result<Plan, OpenError> {
    let names = disk.names().map_err(OpenError::io("the folder", "read"))?;
    let ids = names.iter().filter_map(|name| segment::id_of(name)).collect::<Vec<_>>();
    let fault = match Manifest::read(disk) {
        Ok(manifest) => return by_manifest(disk, &manifest, &ids),
        Err(Unreadable::Format(found)) => {
            return Err(OpenError::Format { found, expected: manifest::FORMAT });
        }
        Err(Unreadable::Io(error)) => return Err(OpenError::io(manifest::NAME, "read")(error)),
        Err(Unreadable::Missing) if ids.is_empty() => None,
        Err(Unreadable::Missing) => Some(Fault::Missing),
        Err(Unreadable::Bad) => Some(Fault::Manifest),
    };
    let faults = fault.map(|what| FileFault { file: manifest::NAME.into(), what });
    by_segments(disk, &ids, faults.into_iter().collect())
}

/// Reads a segment. `own`: its salt, where the manifest says it.
fn look<D: Disk>(disk: &D, id: u64, own: Option<(u64, u64)>) -> Result<Option<Seen>, OpenError> {
    let Some(bytes) = bytes_of(disk, &segment::name(id))? else { return Ok(None) };
    let head = segment::decode(&bytes);
    let salt = own.map(|(salt, _)| salt).or(head.map(|head| head.salt));
    // A segment whose head is bad is known by its first record.
    let salt = salt.or_else(|| record::salt_at(&bytes, RECORDS_AT)).unwrap_or_default();
    let end = own.map_or(u64::MAX, |(_, end)| end);
    let mut seen = Seen { head, salt, bytes: bytes.len() as u64, first: None, mark: Number(0) };
    for met in walk(&bytes, salt, end) {
        seen.first.get_or_insert(met.head.number);
        seen.mark = seen.mark.max(met.head.mark);
    }
    Ok(Some(seen))
}

fn by_manifest<D: Disk>(disk: &D, manifest: &Manifest, ids: &[u64]) -> Result<Plan, OpenError> {
    let (mut faults, mut mark, mut parts) = (Vec::new(), manifest.durable, Vec::new());
    let mut begins = Some(manifest.first);
    for segment in &manifest.segments {
        let Segment { id, salt, bytes, seal } = *segment;
        let end = seal.map_or(u64::MAX, |seal| seal.end);
        parts.push(Part { id, salt, end, begins, below: Number(u64::MAX) });
        begins = seal.map(|seal| seal.last.next());
        mark = mark.max(seal.map_or(Number(0), |seal| seal.last));
        let own = Identity { journal: manifest.journal, id, salt };
        let what = match look(disk, id, Some((salt, end)))? {
            None => Fault::Missing,
            Some(seen) => {
                mark = mark.max(seen.mark);
                if seen.bytes < bytes.max(RECORDS_AT as u64) {
                    Fault::Short
                } else if seen.head != Some(own) {
                    Fault::Head
                } else {
                    continue;
                }
            }
        };
        faults.push(FileFault { file: segment::name(id), what });
    }
    // Files that a manifest should know: then it is an older one.
    let mut unlisted = ids.to_vec();
    unlisted.retain(|id| *id >= manifest.next_segment);
    unlisted.sort_unstable();
    for id in unlisted {
        let Some(seen) = look(disk, id, None)? else { continue };
        let is_own =
            seen.head.is_some_and(|head| (head.journal, head.id) == (manifest.journal, id));
        let Some(first) = seen.first.filter(|_| is_own) else { continue };
        mark = mark.max(seen.mark);
        parts.iter_mut().for_each(|part: &mut Part| part.below = part.below.min(first));
        let (salt, end, below) = (seen.salt, u64::MAX, Number(u64::MAX));
        parts.push(Part { id, salt, end, begins: Some(first), below });
        faults.push(FileFault { file: segment::name(id), what: Fault::Unlisted });
    }
    let (journal, first) = (Some(manifest.journal), Some(manifest.first));
    Ok(Plan { journal, first, mark, parts, faults })
}

/// A segment that was used again has a new head at once. So the segments with records are those of
/// the journal, and such as were cut: these hold older records, which do no harm.
fn by_segments<D: Disk>(
    disk: &D,
    ids: &[u64],
    mut faults: Vec<FileFault>,
) -> Result<Plan, OpenError> {
    let mut all = BTreeMap::new();
    for id in ids {
        all.extend(look(disk, *id, None)?.map(|seen| (*id, seen)));
    }
    let mut votes = BTreeMap::<u64, usize>::new();
    for head in all.values().filter_map(|seen| seen.head) {
        *votes.entry(head.journal).or_default() += 1;
    }
    let journal = votes.into_iter().max_by_key(|(_, count)| *count).map(|(journal, _)| journal);
    let mut plan =
        Plan { journal, first: None, mark: Number(0), parts: Vec::new(), faults: vec![] };
    let mut below = Number(u64::MAX);
    // The newest first: where it begins, older ones end.
    for (id, seen) in all.into_iter().rev() {
        let is_own = seen.head.is_some_and(|head| Some(head.journal) == journal && head.id == id);
        if !is_own {
            faults.push(FileFault { file: segment::name(id), what: Fault::Head });
        }
        let Some(begins) = seen.first.filter(|_| is_own || seen.head.is_none()) else { continue };
        if begins < below {
            plan.mark = plan.mark.max(seen.mark);
            let part = Part { id, salt: seen.salt, end: u64::MAX, begins: Some(begins), below };
            plan.parts.push(part);
            (plan.first, below) = (Some(begins), begins);
        }
    }
    plan.parts.reverse();
    plan.faults = faults;
    Ok(plan)
}
