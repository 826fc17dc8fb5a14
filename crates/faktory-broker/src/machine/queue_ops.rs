//! QUEUE and FLUSH: what is done to queues as a whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use faktory_wire::{QueueCommand, Reply};

use super::{CHUNK, Edit, Machine, Now, keys};
use crate::machine::queues::Trash;
use crate::machine::records::{Counters, Entry};
use crate::store::{Batch, Store, StoreError, Table};

impl Machine {
    pub(super) fn queue_command(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        command: QueueCommand,
    ) -> Result<Reply, StoreError> {
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
        if names.first().is_some_and(|name| name == "*") {
            self.queues.known().map(|queue| queue.name.clone()).collect()
        } else {
            names
        }
    }

    fn latency(
        &mut self,
        store: &dyn Store,
        now: Now,
        names: Vec<String>,
    ) -> Result<Reply, StoreError> {
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
    fn set_paused(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        names: Vec<String>,
        paused: bool,
    ) -> Result<(), StoreError> {
        let mut edit = Edit::default();
        for name in self.named(names) {
            let id = match self.queues.id(&name) {
                Some(id) => id,
                None if paused && self.queues.full().is_none() && may_be_queue(&name) => {
                    self.create_queue(&name)
                }
                None => continue,
            };
            if let Some(queue) = self.queues.get_mut(id) {
                queue.paused = paused;
                queue.known = true;
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
                self.trash.push_back(Trash { queue: id, from: 0 });
                self.unsynced = true;
            }
        }
        self.commit(store, edit)
    }

    /// Deletes a bounded part of the jobs of removed queues; true where there are more.
    pub(super) fn advance_trash(&mut self, store: &mut dyn Store) -> Result<bool, StoreError> {
        let Some(trash) = self.trash.front_mut() else { return Ok(false) };
        let (from, to) =
            (keys::queued(trash.queue, trash.from), keys::queued(trash.queue, u64::MAX));
        let jobs = store.range(Table::Queued, &from, &to, CHUNK)?;
        let mut batch = Batch::default();
        for (key, value) in &jobs {
            batch.delete(Table::Bodies, keys::body(Entry::decode(value)?.job));
            batch.delete(Table::Queued, key.clone());
            trash.from = keys::position_of(key).ok_or(StoreError::Corrupt("queue key"))? + 1;
        }
        if jobs.len() < CHUNK {
            batch.delete(Table::Meta, keys::trash(trash.queue));
            self.trash.pop_front();
        }
        store.write(batch)?;
        Ok(!self.trash.is_empty())
    }

    /// Everything goes, pauses too; only numbers already given out are not given out again.
    pub(super) fn flush(&mut self, store: &mut dyn Store) -> Result<Reply, StoreError> {
        let mut batch = Batch::default();
        self.counters = Counters {
            next: self.counters.next,
            next_queue: self.counters.next_queue,
            ..Counters::default()
        };
        batch.put(Table::Meta, keys::COUNTERS_KEY, self.counters.encode());
        batch.put(Table::Meta, keys::FLUSHING_KEY, []);
        store.write(batch)?;
        // Several steps follow: a crash between them is noticed by the mark.
        store.sync()?;
        empty(store)?;
        self.queues.clear();
        self.given_back.clear();
        self.trash.clear();
        self.timers.clear();
        self.unsynced = true;
        Ok(Reply::OK)
    }
}

/// Deletes everything but the counters, and the mark of the FLUSH last.
pub(super) fn empty(store: &mut dyn Store) -> Result<(), StoreError> {
    // The index first: what it points to must be there.
    for table in [Table::Index, Table::Queued, Table::Sets, Table::Bodies] {
        store.clear(table)?;
    }
    let mut batch = Batch::default();
    for (from, to) in [keys::QUEUES, keys::TRASH] {
        for (key, _) in store.range(Table::Meta, from, to, usize::MAX)? {
            batch.delete(Table::Meta, key);
        }
    }
    batch.delete(Table::Meta, keys::FLUSHING_KEY);
    store.write(batch)
}

/// Longer names than anybody gives a queue cost memory for ever.
pub(super) const QUEUE_NAME_BYTES_MAX: usize = 1024;

/// True for a name under which this server makes a queue.
pub(super) fn may_be_queue(name: &str) -> bool {
    faktory_wire::is_queue_name(name) && name.len() <= QUEUE_NAME_BYTES_MAX
}
