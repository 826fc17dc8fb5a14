//! The values of the store: counters, queues, and the entry of a job. `STORE.md` lists all keys and
//! values.

use std::io::Write;

use faktory_wire::{Failure, SetSizes, Timestamp};

use super::keys::{IdHash, Location};
use crate::store::StoreError;

/// The bytes of an entry without a failure record.
const ENTRY_BYTES: usize = 56;
/// The most bytes of the time that a document has beside its body.
const ENQUEUED_AT_BYTES: usize = 64;
/// The most bytes of the number of a reservation in a document.
const RESERVATION_BYTES: usize = 40;

/// The numbers that survive a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counters {
    /// The last number that was given to a job, a position or a reservation.
    pub(super) next: u64,
    /// The last id that was given to a queue.
    pub(super) next_queue: u32,
    pub(super) processed: u64,
    pub(super) failures: u64,
    pub(super) sets: SetSizes,
}

impl Counters {
    pub(super) const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) const fn size(&mut self, location: Location) -> &mut u64 {
        match location {
            Location::Scheduled => &mut self.sets.scheduled,
            Location::Retries => &mut self.sets.retries,
            Location::Dead => &mut self.sets.dead,
            Location::Working => &mut self.sets.working,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let SetSizes { dead, retries, scheduled, working } = self.sets;
        let numbers = [
            self.next,
            u64::from(self.next_queue),
            self.processed,
            self.failures,
            dead,
            retries,
            scheduled,
            working,
        ];
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut reader = Reader(bytes);
        let mut counters = Self {
            next: reader.u64()?,
            next_queue: u32::try_from(reader.u64()?)
                .map_err(|_| StoreError::Corrupt("counters"))?,
            processed: reader.u64()?,
            failures: reader.u64()?,
            ..Self::default()
        };
        for location in [Location::Dead, Location::Retries, Location::Scheduled, Location::Working]
        {
            *counters.size(location) = reader.u64()?;
        }
        Ok(counters)
    }
}

/// A queue, without its jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueueRecord {
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) paused: bool,
    /// True once the queue had a job, or was named by a QUEUE PAUSE or QUEUE RESUME. Before that,
    /// only scheduled jobs name the queue, and INFO does not list the queue.
    pub(super) known: bool,
}

impl QueueRecord {
    pub(super) fn encode(name: &str, length: u64, paused: bool, known: bool) -> Vec<u8> {
        let flags = u8::from(paused) | (u8::from(known) << 1);
        [length.to_be_bytes().as_slice(), &[flags], name.as_bytes()].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut reader = Reader(bytes);
        let (length, flags) = (reader.u64()?, reader.u8()?);
        let name =
            String::from_utf8(reader.0.to_vec()).map_err(|_| StoreError::Corrupt("queue"))?;
        Ok(Self { name, length, paused: flags & 1 != 0, known: flags & 2 != 0 })
    }
}

/// The entry of a job: the data that changes, and the data that is needed often. The entry moves
/// with the job between its queue and the sets; the body stays where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The number of the job, by which its body is found.
    pub(super) job: u64,
    /// The id of its queue.
    pub(super) queue: u32,
    /// The last position in its queue, to which the job is returned where a reply could not be
    /// delivered. In a set but that of reservations: a number that was new when the job was put
    /// there.
    pub(super) position: u64,
    pub(super) retry: i64,
    /// Seconds for which a FETCH reserves the job.
    pub(super) reserve_for: u32,
    pub(super) enqueued_at: Timestamp,
    pub(super) id: IdHash,
    pub(super) failure: Option<Failure>,
}

impl Entry {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ENTRY_BYTES);
        out.extend(self.job.to_be_bytes());
        out.extend(self.queue.to_be_bytes());
        out.extend(self.position.to_be_bytes());
        out.extend(self.retry.to_be_bytes());
        out.extend(self.reserve_for.to_be_bytes());
        out.extend(self.enqueued_at.micros().to_be_bytes());
        out.extend(self.id);
        if let Some(failure) = &self.failure {
            failure.encode(&mut out);
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut reader = Reader(bytes);
        Ok(Self {
            job: reader.u64()?,
            queue: reader.u32()?,
            position: reader.u64()?,
            retry: reader.u64()?.cast_signed(),
            reserve_for: reader.u32()?,
            enqueued_at: Timestamp::from_micros(reader.u64()?.cast_signed()),
            id: reader.take()?,
            failure: match reader.0 {
                [] => None,
                json => {
                    Some(serde_json::from_slice(json).map_err(|_| StoreError::Corrupt("failure"))?)
                }
            },
        })
    }

    /// About the bytes of the failure record.
    pub(super) fn failure_bytes(&self) -> usize {
        let of = |failure: &Failure| {
            failure.message.len() + failure.backtrace.iter().map(String::len).sum::<usize>()
        };
        self.failure.as_ref().map_or(0, of)
    }

    /// Appends the whole job as JSON: its body, the time at which the job entered its queue, its
    /// failure record, and the number of its reservation where that is to be told.
    pub(super) fn write_document(&self, body: &[u8], reservation: Option<u64>, out: &mut Vec<u8>) {
        out.reserve(body.len() + ENQUEUED_AT_BYTES + RESERVATION_BYTES);
        out.extend_from_slice(body.get(..body.len().saturating_sub(1)).unwrap_or_default());
        self.write_rest(out);
        if let Some(number) = reservation {
            out.pop();
            // A write into memory can't fail.
            let _ = write!(out, ",\"reservation\":{number}}}");
        }
    }

    /// What the whole job has instead of the last byte of its body.
    pub(super) fn rest_of_document(&self) -> Vec<u8> {
        let mut rest = Vec::with_capacity(ENQUEUED_AT_BYTES);
        self.write_rest(&mut rest);
        rest
    }

    fn write_rest(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"enqueued_at\":\"");
        // A write into memory can't fail.
        let _ = write!(out, "{}", self.enqueued_at);
        out.push(b'"');
        if let Some(failure) = &self.failure {
            out.extend_from_slice(b",\"failure\":");
            failure.encode(out);
        }
        out.push(b'}');
    }
}

/// A record that is read from its front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let (head, rest) =
            self.0.split_first_chunk().ok_or(StoreError::Corrupt("record too short"))?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, StoreError> {
        self.take().map(u8::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, StoreError> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, StoreError> {
        self.take().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let sets = SetSizes { dead: 1, retries: 2, scheduled: 3, working: 4 };
        let counters = Counters { next: 5, next_queue: 6, processed: 7, failures: 8, sets };
        assert_eq!(Counters::decode(&counters.encode()).unwrap(), counters);

        for (paused, known) in [(true, true), (true, false), (false, true), (false, false)] {
            let record = QueueRecord { name: "q".into(), length: 9, paused, known };
            assert_eq!(
                QueueRecord::decode(&QueueRecord::encode("q", 9, paused, known)).unwrap(),
                record
            );
        }

        for failure in
            [None, Some(Failure { message: "m".into(), retry_count: 3, ..Failure::default() })]
        {
            let entry = Entry {
                job: 1,
                queue: 2,
                position: 3,
                retry: -1,
                reserve_for: 60,
                enqueued_at: Timestamp::from_micros(-4),
                id: [7; 16],
                failure,
            };
            assert_eq!(Entry::decode(&entry.encode()).unwrap(), entry);
        }
    }

    #[test]
    fn a_short_record_is_an_error() {
        assert!(
            Entry::decode(&[1, 2, 3]).is_err()
                && Counters::decode(&[]).is_err()
                && QueueRecord::decode(&[0]).is_err()
        );
    }
}
