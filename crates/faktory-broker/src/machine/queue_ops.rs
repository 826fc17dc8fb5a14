//! QUEUE and FLUSH: what is done to queues as a whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use faktory_wire::{QueueCommand, Reply};

use super::{CHUNK, Edit, Machine, Now, keys};
use crate::machine::records::{Counters, Entry};
use crate::store::{Batch, Store, StoreError, Table};

impl Machine {
    pub(super) fn queue_command(&mut self, store: &mut dyn Store, now: Now, command: QueueCommand) -> Result<Reply, StoreError> {
        match command {
            QueueCommand::Latency(names) => return self.latency(store, now, names),
            QueueCommand::Pause(names) => self.set_paused(store, now, names, true)?,
            QueueCommand::Resume(names) => self.set_paused(store, now, names, false)?,
            QueueCommand::Remove(names) => self.remove(store, names)?,
        }
        Ok(Reply::OK)
    }

    /// `*` in front stands for all.
    fn named(&self, names: Vec<String>) -> Vec<String> {
        if names.first().is_some_and(|name| name == "*") { self.queues.iter().map(|queue| queue.name.clone()).collect() } else { names }
    }

    fn latency(&mut self, store: &dyn Store, now: Now, names: Vec<String>) -> Result<Reply, StoreError> {
        let mut seconds = BTreeMap::new();
        for name in names {
            let first = match self.queues.id(&name) {
                Some(id) => match self.queues.get_mut(id) {
                    Some(queue) => queue.first(store, id)?.map(|entry| entry.enqueued_at),
                    None => None,
                },
                None => None,
            };
            seconds.insert(name, first.map_or(0.0, |since| now.wall.since(since).as_secs_f64()));
        }
        let body = serde_json::to_vec(&seconds).map_err(|_| StoreError::Corrupt("latency"))?;
        Ok(Reply::Bulk(Bytes::from(body)))
    }

    /// A queue may be paused before its first job comes; Faktory forgets that.
    fn set_paused(&mut self, store: &mut dyn Store, now: Now, names: Vec<String>, paused: bool) -> Result<(), StoreError> {
        let mut edit = Edit::default();
        for name in self.named(names) {
            let id = match self.queues.id(&name) {
                Some(id) => id,
                None if paused && self.queues.full().is_none() => self.create_queue(&name),
                None => continue,
            };
            if let Some(queue) = self.queues.get_mut(id).filter(|queue| queue.paused != paused || queue.length == 0) {
                queue.paused = paused;
                edit.touch(id);
            }
        }
        self.unsynced |= !edit.queues.is_empty();
        self.commit_and_serve(store, now, edit)
    }

    /// The queue is gone at once; its jobs are deleted in the background.
    fn remove(&mut self, store: &mut dyn Store, names: Vec<String>) -> Result<(), StoreError> {
        let mut edit = Edit::default();
        for name in self.named(names) {
            if let Some(id) = self.queues.remove(&name) {
                edit.batch.delete(Table::Meta, keys::queue(id));
                edit.batch.put(Table::Meta, keys::trash(id), []);
                self.trash.push_back(id);
                self.unsynced = true;
            }
        }
        self.commit(store, edit)
    }

    /// Deletes a bounded part of the jobs of removed queues; true where there are more.
    pub(super) fn advance_trash(&mut self, store: &mut dyn Store) -> Result<bool, StoreError> {
        let Some(id) = self.trash.front().copied() else { return Ok(false) };
        let (from, to) = (keys::queued(id, 0), keys::queued(id, u64::MAX));
        let jobs = store.range(Table::Queued, &from, &to, CHUNK)?;
        let mut batch = Batch::default();
        for (key, value) in &jobs {
            batch.delete(Table::Bodies, keys::body(Entry::decode(value)?.job));
            batch.delete(Table::Queued, key.clone());
        }
        if jobs.len() < CHUNK {
            batch.delete(Table::Meta, keys::trash(id));
            self.trash.pop_front();
        }
        store.write(batch)?;
        Ok(!self.trash.is_empty())
    }

    /// Everything goes, pauses too; only numbers already given out are not given out again.
    pub(super) fn flush(&mut self, store: &mut dyn Store) -> Result<Reply, StoreError> {
        for table in [Table::Queued, Table::Sets, Table::Index, Table::Bodies] {
            store.clear(table)?;
        }
        let mut edit = Edit::default();
        for (from, to) in [keys::QUEUES, keys::TRASH] {
            for (key, _) in store.range(Table::Meta, from, to, usize::MAX)? {
                edit.batch.delete(Table::Meta, key);
            }
        }
        self.counters = Counters { next: self.counters.next, next_queue: self.counters.next_queue, ..Counters::default() };
        self.queues.clear();
        self.trash.clear();
        self.timers.clear();
        self.unsynced = true;
        edit.batch.put(Table::Meta, keys::COUNTERS_KEY, self.counters.encode());
        self.commit(store, edit)?;
        Ok(Reply::OK)
    }
}
