//! QUEUE: queues are paused, resumed and removed, and their latency is reported. The queues
//! themselves are in `queues.rs`.

use std::collections::BTreeMap;

use bytes::Bytes;
use faktory_wire::{QueueCommand, Reply, Word};

use super::edit::Edit;
use super::queues::{Trash, may_be_queue};
use super::records::Entry;
use super::{CHUNK, Machine, Now, keys};
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

    /// The queues that a command means: all known queues where the first name is `*`.
    fn named(&self, names: Vec<Word>) -> Vec<String> {
        if names.first().is_some_and(|name| &**name == "*") {
            self.queues.known().map(|queue| queue.name.clone()).collect()
        } else {
            names.into_iter().map(String::from).collect()
        }
    }

    fn latency(
        &mut self,
        store: &dyn Store,
        now: Now,
        names: Vec<Word>,
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
            seconds.insert(
                String::from(name),
                first.map_or(0.0, |since| now.wall.since(since).as_secs_f64()),
            );
        }
        let body = serde_json::to_vec(&seconds).map_err(|_| StoreError::Corrupt("latency"))?;
        Ok(Reply::Bulk(Bytes::from(body)))
    }

    /// A queue may be paused before its first job comes. Faktory forgets such a pause.
    fn set_paused(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        names: Vec<Word>,
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

    /// Removes queues at once; their jobs are deleted in the background.
    fn remove(&mut self, store: &mut dyn Store, names: Vec<Word>) -> Result<(), StoreError> {
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

    /// Deletes a bounded part of the jobs of removed queues; true where more jobs are left.
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
}
