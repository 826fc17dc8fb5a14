//! Looks over all tables of a store, and finds what does not agree.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use faktory_wire::Excerpt;

use super::keys::{self, EntryKey, Location};
use super::records::{Counters, Entry, QueueRecord};
use super::remembered::Slice;
use crate::store::{Key, Table, format, name_of};

/// Keys, told by their count and a sum that does not depend on their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    count: u64,
    sum: u64,
}

impl Counted {
    fn note(&mut self, pair: (&[u8], &[u8])) {
        let mut hasher = DefaultHasher::new();
        pair.hash(&mut hasher);
        self.count += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

/// The state of all tables, gathered key by key. Memory grows with the jobs: nine bytes for each.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    format: Option<Bytes>,
    counters: Option<Counters>,
    queues: BTreeMap<u32, QueueRecord>,
    trash: BTreeSet<u32>,
    /// The jobs that have a body, in their order; and whether an entry was met.
    bodies: Vec<u64>,
    has_entry: Vec<bool>,
    queued: BTreeMap<u32, u64>,
    sets: BTreeMap<Location, u64>,
    /// The index as the sets say, and as it is.
    index_due: Counted,
    index: Counted,
    /// The highest number of a job, a position or a reservation.
    highest: u64,
    without_body: u64,
    again: u64,
    unreadable: u64,
    keys: u64,
}

/// Jobs by the place where they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// The jobs that have a body.
    pub jobs: u64,
    /// The queues that have a record: their names, and the jobs in them.
    pub queues: Vec<(String, u64)>,
    /// The sets, and the jobs in them.
    pub sets: Vec<(&'static str, u64)>,
    /// Jobs of removed queues, which are still to be deleted.
    pub removed: u64,
    /// Jobs in a queue or a set without a body.
    pub without_body: u64,
    /// Jobs with a body that are in no queue and no set.
    pub without_entry: u64,
    /// Everything that does not agree, in words.
    pub faults: Vec<String>,
}

const SETS: [(&str, Location); 4] = [
    ("scheduled", Location::Scheduled),
    ("retries", Location::Retries),
    ("dead", Location::Dead),
    ("working", Location::Working),
];

impl Survey {
    /// Notes a key. The keys come in their order, so that bodies come before entries.
    pub(crate) fn note(&mut self, key: &Key, value: &Bytes) {
        self.keys += 1;
        let name = name_of(key);
        let noted = match Table::of(key) {
            Some(Table::Meta) => self.note_meta(name, value),
            Some(Table::Bodies) => self.note_body(name),
            Some(Table::Queued) => self.note_queued(name, value),
            Some(Table::Sets) => self.note_set(name, value),
            Some(Table::Index) => {
                self.index.note((name, value));
                keys::number_of(name).zip(keys::due_of(value)).map(drop)
            }
            Some(Table::Ids) => (name.len() == 16 && value.len() == 12).then_some(()),
            Some(Table::OtherIds) => (name.len() == 20 && value.len() == 12).then_some(()),
            None => None,
        };
        self.unreadable += u64::from(noted.is_none());
    }

    fn note_meta(&mut self, name: &[u8], value: &Bytes) -> Option<()> {
        match name {
            format::KEY => self.format = Some(value.clone()),
            keys::COUNTERS_KEY => self.counters = Some(Counters::decode(value).ok()?),
            keys::FLUSHING_KEY => {}
            name if name.starts_with(keys::QUEUES.0) => {
                self.queues.insert(keys::queue_id_of(name)?, QueueRecord::decode(value).ok()?);
            }
            name if name.starts_with(keys::TRASH.0) => {
                self.trash.insert(keys::queue_id_of(name)?);
            }
            name if name.starts_with(keys::SLICES.0) => {
                Slice::decode(keys::slice_id_of(name)?, value)?;
            }
            _ => return None,
        }
        Some(())
    }

    fn note_body(&mut self, name: &[u8]) -> Option<()> {
        let job = u64::from_be_bytes(name.try_into().ok()?);
        self.bodies.push(job);
        self.has_entry.push(false);
        self.highest = self.highest.max(job);
        Some(())
    }

    fn note_queued(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        let queue = u32::from_be_bytes(name.get(..4)?.try_into().ok()?);
        let position = keys::position_of(name)?;
        let entry = Entry::decode(value).ok()?;
        *self.queued.entry(queue).or_default() += 1;
        self.note_entry(&entry, position);
        Some(())
    }

    fn note_set(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        let location = keys::location_of(name)?;
        let key = keys::entry_key_of(name)?;
        let entry = Entry::decode(value).ok()?;
        let EntryKey { due, number } = key;
        let index = keys::index(location, &entry.id, number);
        self.index_due.note((&index, &keys::due_value(due)));
        *self.sets.entry(location).or_default() += 1;
        self.note_entry(&entry, number);
        Some(())
    }

    fn note_entry(&mut self, entry: &Entry, number: u64) {
        self.highest = self.highest.max(number).max(entry.job).max(entry.position);
        let place = self.bodies.binary_search(&entry.job).ok();
        match place.and_then(|place| self.has_entry.get_mut(place)) {
            None => self.without_body += 1,
            Some(has_entry) => self.again += u64::from(std::mem::replace(has_entry, true)),
        }
    }

    /// What was found, when all keys were noted.
    pub(crate) fn end(self) -> Tables {
        let of = |queue: &u32| self.queued.get(queue).copied().unwrap_or_default();
        let queues = self.queues.iter().map(|(id, queue)| (queue.name.clone(), of(id)));
        let sets = SETS
            .map(|(name, location)| (name, self.sets.get(&location).copied().unwrap_or_default()));
        Tables {
            jobs: self.bodies.len() as u64,
            queues: queues.collect(),
            sets: sets.to_vec(),
            removed: self.trash.iter().map(of).sum(),
            without_body: self.without_body,
            without_entry: self.has_entry.iter().filter(|has_entry| !**has_entry).count() as u64,
            faults: self.faults(),
        }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.keys > 0 {
            self.check_meta(&mut faults);
        }
        let orphans = self.has_entry.iter().filter(|has_entry| !**has_entry).count();
        for (count, what) in [
            (self.unreadable, "records that can't be read"),
            (self.without_body, "jobs in a queue or a set have no body, and count as deleted"),
            (orphans as u64, "bodies of jobs that are in no queue and no set"),
            (self.again, "jobs are in two places at once"),
        ] {
            if count > 0 {
                faults.push(format!("{count} {what}"));
            }
        }
        if self.index != self.index_due {
            let (found, due) = (self.index.count, self.index_due.count);
            faults.push(format!(
                "the index of the sets has {found} entries and does not fit the {due} jobs in them"
            ));
        }
        faults
    }

    fn check_meta(&self, faults: &mut Vec<String>) {
        if self.format.as_deref() != Some(&format::VERSION.to_be_bytes()) {
            faults.push("the version of the format is missing, or another one".into());
        }
        for (id, queue) in &self.queues {
            let found = self.queued.get(id).copied().unwrap_or_default();
            if found != queue.length {
                let (name, length) = (Excerpt(&queue.name), queue.length);
                faults.push(format!(
                    "the queue {name} has {found} jobs, and its record says {length}"
                ));
            }
        }
        let unknown = |id: &&u32| !self.queues.contains_key(id) && !self.trash.contains(id);
        let unknown: u64 =
            self.queued.keys().filter(unknown).filter_map(|id| self.queued.get(id)).sum();
        if unknown > 0 {
            faults.push(format!("{unknown} jobs are in queues that have no record"));
        }
        let Some(mut counters) = self.counters else {
            if self.bodies.is_empty() && self.queues.is_empty() {
                // Nothing was ever posted.
                return;
            }
            return faults.push("the counters are missing".into());
        };
        for (name, location) in SETS {
            let found = self.sets.get(&location).copied().unwrap_or_default();
            let counted = *counters.size(location);
            if found != counted {
                faults.push(format!("the set {name} has {found} jobs, and was counted {counted}"));
            }
        }
        if self.highest > counters.next {
            let (highest, next) = (self.highest, counters.next);
            faults.push(format!(
                "the number {highest} is in use, and the last one given out was {next}"
            ));
        }
    }
}
