//! Reads a journal without changing it, and goes on behind what is bad.

mod plan;
mod walk;

use std::io;

use self::plan::{Part, Plan};
use self::walk::{Met, walk};
use crate::Number;
use crate::damage::{Damage, Fault, OpenError, Tail};
use crate::disk::{Disk, DiskFile};
use crate::segment::{self, RECORDS_AT};
use crate::take::Take;

/// A file of a journal that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub what: Fault,
}

/// What was found in a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// The number by which this journal is told from others; `None` where no file says it.
    pub journal: Option<u64>,
    /// The segments that hold records, or may.
    pub segments: usize,
    /// The records that were read.
    pub records: u64,
    /// The last record that was read, or was cut before; 0 where there was none.
    pub last: Number,
    /// The highest number of which a file says that it was durable.
    pub durable: Number,
    /// The end that nothing says was durable, where there is one.
    pub tail: Option<Tail>,
    /// Files that are not as they were written.
    pub files: Vec<FileFault>,
    /// Records that were durable and can't be read, in their order.
    pub lost: Vec<Damage>,
}

impl Verified {
    /// True where nothing that was promised is missing, and no file is bad.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.files.is_empty() && self.lost.is_empty()
    }
}

struct Reading<'a> {
    plan: &'a Plan,
    /// The number of the record that comes next.
    next: Number,
    /// The file of the last record that was taken, and where the record ends.
    place: (String, u64),
    found: Verified,
    take: Take<'a>,
}

/// Reads the journal in this folder, and hands all its records to `take`, in order. What can't be
/// read is noted, and the records behind it are read on, but for the tail. `needed` is the first
/// record that the caller needs. Nothing is changed on the disk.
///
/// Where the manifest is missing or bad, or older than a segment, the order of the segments is
/// taken from the segments themselves.
///
/// # Errors
/// Where the system can't read a file, the files have another format, or `take` refuses a record.
pub fn verify<D: Disk>(disk: &D, needed: Number, take: Take<'_>) -> Result<Verified, OpenError> {
    let plan = plan::plan(disk)?;
    let found = Verified {
        journal: plan.journal,
        segments: plan.parts.len(),
        durable: plan.mark,
        last: plan.first.map_or(Number(0), |first| Number(first.0.saturating_sub(1))),
        files: plan.faults.clone(),
        ..Verified::default()
    };
    let next = plan.first.unwrap_or(needed);
    let place = (crate::manifest::NAME.to_owned(), 0);
    let mut reading = Reading { plan: &plan, next, place, found, take };
    if needed < next {
        reading.lose(Fault::Cut, needed, Number(next.0 - 1));
    }
    for part in &plan.parts {
        reading.part(disk, part)?;
    }
    if reading.next <= plan.mark {
        reading.lose(Fault::Record, reading.next, plan.mark);
    }
    Ok(reading.found)
}

/// All bytes of a file; `None` where there is none.
fn bytes_of<D: Disk>(disk: &D, name: &str) -> Result<Option<Vec<u8>>, OpenError> {
    let file = match disk.open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(OpenError::io(name, "opened"))?,
    };
    let length = file.length().map_err(OpenError::io(name, "read"))?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_at(0, &mut bytes).map_err(OpenError::io(name, "read"))?;
    Ok(Some(bytes))
}

impl Reading<'_> {
    /// Notes records that were durable and can't be read.
    fn lose(&mut self, what: Fault, first: Number, last: Number) {
        let (file, offset) = self.place.clone();
        self.found.lost.push(Damage { file, offset, what, lost: (first, Some(last)) });
    }

    fn part<D: Disk>(&mut self, disk: &D, part: &Part) -> Result<(), OpenError> {
        let name = segment::name(part.id);
        let Some(bytes) = bytes_of(disk, &name)? else { return Ok(()) };
        if part.begins.is_some_and(|first| first == self.next) {
            self.place = (name.clone(), RECORDS_AT as u64);
        }
        for met in walk(&bytes, part.salt, part.end) {
            self.meet(&name, part, &met)?;
        }
        Ok(())
    }

    fn meet(&mut self, name: &str, part: &Part, met: &Met<'_>) -> Result<(), OpenError> {
        let (number, mark) = (met.head.number, self.plan.mark);
        if number < self.next || number >= part.below {
            return Ok(());
        }
        // What is missing before it, or itself, was never promised.
        let is_tail = number > mark && (met.body.is_none() || number > self.next.max(mark.next()));
        let Some(body) = met.body.filter(|_| !is_tail) else {
            if is_tail {
                self.note_tail(met);
            }
            return Ok(());
        };
        if number > self.next {
            self.lose(Fault::Record, self.next, Number(number.0 - 1));
        }
        (self.take)(number, body).map_err(|error| OpenError::Refused(number, error))?;
        (self.next, self.place) = (number.next(), (name.to_owned(), met.end as u64));
        self.found.records += 1;
        // What looked like a tail is the beginning of this record.
        (self.found.last, self.found.tail) = (number, None);
        Ok(())
    }

    /// Notes a record that is torn, or lies behind a gap.
    fn note_tail(&mut self, met: &Met<'_>) {
        let first = self.next.max(self.plan.mark.next());
        let (file, offset) = self.place.clone();
        let tail =
            self.found.tail.get_or_insert(Tail { file, offset, first, bytes: 0, records: 0 });
        tail.bytes += (met.end - met.at) as u64;
        tail.records += 1;
    }
}
