//! The queues: names, lengths, and the first jobs of each queue.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;

use faktory_wire::Timestamp;

use super::keys;
use super::records::{Entry, QueueRecord};
use crate::store::{Store, StoreError, Table, name_of};

/// The most entries of a queue that are read from the store at once. As many of the first jobs are
/// kept in memory, and up to twice as many after jobs have returned.
const READY_MAX: usize = 128;
/// The most bytes in the name of a queue. A name is kept in memory for ever, and nobody gives a
/// queue a longer one.
pub(super) const QUEUE_NAME_BYTES_MAX: usize = 1024;

/// True where this server makes a queue of this name.
pub(super) fn may_be_queue(name: &str) -> bool {
    faktory_wire::is_queue_name(name) && name.len() <= QUEUE_NAME_BYTES_MAX
}

/// A queue, with its first jobs in memory.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) paused: bool,
    /// See [`QueueRecord::known`].
    pub(super) known: bool,
    /// The first job is large, and is handed out when there is room for its reply.
    pub(super) awaits_room: bool,
    /// The queue is among those whose jobs are to be handed to waiting FETCHes.
    pub(super) is_served: bool,
    /// The first jobs of the queue, by position.
    ready: VecDeque<(u64, Entry)>,
    /// The jobs from this position on are not in `ready`.
    beyond: u64,
}

impl Queue {
    fn new(record: QueueRecord) -> Self {
        let QueueRecord { name, length, paused, known } = record;
        Self {
            name,
            length,
            paused,
            known,
            awaits_room: false,
            is_served: false,
            ready: VecDeque::new(),
            beyond: 0,
        }
    }

    /// True where a job can be handed out.
    pub(super) const fn has_job(&self) -> bool {
        self.length > 0 && !self.paused && !self.awaits_room
    }

    pub(super) fn record(&self) -> Vec<u8> {
        QueueRecord::encode(&self.name, self.length, self.paused, self.known)
    }

    /// Notes a job that was put at the end.
    pub(super) fn append(&mut self, position: u64, entry: Entry) {
        let all_in_memory = self.ready.len() as u64 == self.length;
        self.length += 1;
        self.known = true;
        if all_in_memory && self.ready.len() < READY_MAX {
            self.ready.push_back((position, entry));
            self.beyond = position + 1;
        }
    }

    /// Notes a job that was returned to its old position.
    pub(super) fn put_back(&mut self, position: u64, entry: Entry) {
        self.length += 1;
        if position >= self.beyond {
            return;
        }
        self.awaits_room = false;
        let index = self.ready.partition_point(|(other, _)| *other < position);
        self.ready.insert(index, (position, entry));
        if self.ready.len() > 2 * READY_MAX
            && let Some((last, _)) = self.ready.pop_back()
        {
            self.beyond = last;
        }
    }

    /// Takes the job at a position out; the caller deletes the job from the store.
    pub(super) fn take_out(&mut self, position: u64) {
        self.length = self.length.saturating_sub(1);
        if let Ok(index) = self.ready.binary_search_by_key(&position, |(other, _)| *other) {
            self.ready.remove(index);
        }
    }

    /// Takes the first job out; the caller deletes the job from the store.
    pub(super) fn take_first(
        &mut self,
        store: &dyn Store,
        id: u32,
    ) -> Result<Option<(u64, Entry)>, StoreError> {
        if self.ready.is_empty() && self.length > 0 {
            let (from, to) = (keys::queued(id, self.beyond), keys::queued(id, u64::MAX));
            for (key, value) in store.range(Table::Queued, &from, &to, READY_MAX)? {
                let position =
                    keys::position_of(name_of(&key)).ok_or(StoreError::Corrupt("queue key"))?;
                self.ready.push_back((position, Entry::decode(&value)?));
                self.beyond = position + 1;
            }
        }
        let first = self.ready.pop_front();
        match first {
            Some(_) => self.length = self.length.saturating_sub(1),
            // The record promised more jobs than the store holds. The store is right.
            None => self.length = 0,
        }
        Ok(first)
    }

    /// Puts the job back that was just taken out; it was not handed out.
    pub(super) fn put_first(&mut self, position: u64, entry: Entry) {
        self.length += 1;
        self.ready.push_front((position, entry));
    }

    /// The time at which the first job entered the queue. Nothing is kept in memory for it.
    pub(super) fn first_enqueued_at(
        &self,
        store: &dyn Store,
        id: u32,
    ) -> Result<Option<Timestamp>, StoreError> {
        if let Some((_, entry)) = self.ready.front() {
            return Ok(Some(entry.enqueued_at));
        }
        if self.length == 0 {
            return Ok(None);
        }
        let (from, to) = (keys::queued(id, self.beyond), keys::queued(id, u64::MAX));
        let first = store.range(Table::Queued, &from, &to, 1)?.pop();
        first.map(|(_, value)| Ok(Entry::decode(&value)?.enqueued_at)).transpose()
    }
}

/// All queues. The id of a removed queue is never used again, so its jobs can be deleted later
/// without touching those of a new queue of the same name.
#[derive(Debug, Default)]
pub(super) struct Queues {
    by_name: HashMap<String, u32>,
    by_id: BTreeMap<u32, Queue>,
    max: usize,
    /// The bytes of all names.
    name_bytes: usize,
}

impl Queues {
    pub(super) fn load(store: &dyn Store, max: usize) -> Result<Self, StoreError> {
        let mut queues = Self { max, ..Self::default() };
        let (from, to) = keys::QUEUES;
        for (key, value) in store.range(Table::Meta, from, to, usize::MAX)? {
            let id = keys::queue_id_of(name_of(&key)).ok_or(StoreError::Corrupt("queue key"))?;
            queues.insert(id, Queue::new(QueueRecord::decode(&value)?));
        }
        Ok(queues)
    }

    fn insert(&mut self, id: u32, queue: Queue) {
        self.name_bytes += queue.name.len();
        self.by_name.insert(queue.name.clone(), id);
        self.by_id.insert(id, queue);
    }

    pub(super) fn id(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(super) fn get(&self, id: u32) -> Option<&Queue> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Queue> {
        self.by_id.get_mut(&id)
    }

    /// The limit on queues, where the limit has been reached.
    pub(super) fn full(&self) -> Option<usize> {
        (self.by_id.len() >= self.max).then_some(self.max)
    }

    /// True where a job can be put into a queue of this name, also behind `others` more jobs that
    /// may each make a queue.
    pub(super) fn take_jobs_of(&self, name: &str, others: usize) -> bool {
        self.by_name.contains_key(name)
            || may_be_queue(name) && self.by_id.len() + others < self.max
    }

    pub(super) fn create(&mut self, id: u32, name: &str) {
        self.insert(
            id,
            Queue::new(QueueRecord {
                name: name.to_owned(),
                length: 0,
                paused: false,
                known: false,
            }),
        );
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<u32> {
        let id = self.by_name.remove(name)?;
        self.by_id.remove(&id);
        self.name_bytes = self.name_bytes.saturating_sub(name.len());
        Some(id)
    }

    pub(super) fn clear(&mut self) {
        self.by_name.clear();
        self.by_id.clear();
        self.name_bytes = 0;
    }

    /// The next known queue with an id above `after`, up to `last`.
    pub(super) fn next_known(&self, after: u32, last: u32) -> Option<(u32, String)> {
        let range = (Bound::Excluded(after), Bound::Included(last.max(after)));
        let (id, queue) = self.by_id.range(range).find(|(_, queue)| queue.known)?;
        Some((*id, queue.name.clone()))
    }

    /// Up to `limit` queues with an id above `after`.
    pub(super) fn after(&self, after: u32, limit: usize) -> impl Iterator<Item = (u32, &Queue)> {
        let range = (Bound::Excluded(after), Bound::Unbounded);
        self.by_id.range(range).take(limit).map(|(id, queue)| (*id, queue))
    }

    /// About the bytes of an INFO, by the names of all queues.
    pub(super) fn info_bytes(&self) -> usize {
        // Two quotes, a colon, a comma, and a number of up to 20 digits.
        const OF_A_QUEUE: usize = 24;
        // Everything but the queues.
        const OF_THE_REST: usize = 2 << 10;
        self.name_bytes + self.by_id.len() * OF_A_QUEUE + OF_THE_REST
    }
}

/// A removed queue whose jobs are still in the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trash {
    pub(super) queue: u32,
    /// The jobs before this position have been deleted. The store is read from here on, because a
    /// read over deleted jobs takes time for each of them.
    pub(super) from: u64,
}

/// Removed queues whose jobs are still in the store.
pub(super) fn load_trash(store: &dyn Store) -> Result<VecDeque<Trash>, StoreError> {
    let (from, to) = keys::TRASH;
    let records = store.range(Table::Meta, from, to, usize::MAX)?;
    let trash = |key| Some(Trash { queue: keys::queue_id_of(name_of(key))?, from: 0 });
    records.iter().map(|(key, _)| trash(key).ok_or(StoreError::Corrupt("trash key"))).collect()
}
