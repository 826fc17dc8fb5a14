//! QUEUE: queues are paused, resumed and removed, and their latency is reported. The queues
//! themselves are in `queues.rs`.

use std::collections::BTreeMap;

use bytes::Bytes;
use faktory_wire::{QueueCommand, Reply, Word};

use super::edit::Edit;
use super::queues::{Trash, may_be_queue};
use super::records::Entry;
use super::{Machine, Now, READ_MAX, keys};
use crate::store::{Batch, Change, Store, StoreError, Table, name_of};

/// What is done with each queue.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Latency,
    Pause,
    Resume,
    Remove,
}

/// The queues that are still to be handled.
#[derive(Debug)]
enum Left {
    Names(std::vec::IntoIter<Word>),
    /// All known queues with an id above `after`, up to `last`. Queues that are made meanwhile have
    /// a larger id.
    All {
        after: u32,
        last: u32,
    },
}

/// A QUEUE command that is being carried out.
#[derive(Debug)]
pub(super) struct RunningQueueCommand {
    operation: Operation,
    left: Left,
    seconds: BTreeMap<String, f64>,
}

/// The most bytes in the answer to a QUEUE command, where it has a text.
pub(super) fn answer_bytes(command: &QueueCommand) -> usize {
    match command {
        // Two quotes, a colon, a comma and the seconds; a byte of a name becomes six at the most.
        QueueCommand::Latency(names) => names.iter().map(|name| 6 * name.len() + 24).sum(),
        QueueCommand::Pause(_) | QueueCommand::Resume(_) | QueueCommand::Remove(_) => 0,
    }
}

impl Machine {
    pub(super) fn begin_queue_command(&self, command: QueueCommand) -> RunningQueueCommand {
        let (operation, names) = match command {
            QueueCommand::Latency(names) => (Operation::Latency, names),
            QueueCommand::Pause(names) => (Operation::Pause, names),
            QueueCommand::Resume(names) => (Operation::Resume, names),
            QueueCommand::Remove(names) => (Operation::Remove, names),
        };
        let is_all = names.first().is_some_and(|name| &**name == "*");
        let left = match operation {
            Operation::Pause | Operation::Resume | Operation::Remove if is_all => {
                Left::All { after: 0, last: self.counters.next_queue }
            }
            _ => Left::Names(names.into_iter()),
        };
        RunningQueueCommand { operation, left, seconds: BTreeMap::new() }
    }

    /// Handles the next queues; the answer where all are done.
    pub(super) fn advance_queue_command(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        command: &mut RunningQueueCommand,
    ) -> Result<Option<Reply>, StoreError> {
        let mut edit = Edit::default();
        let mut done = false;
        while !self.work.is_spent() {
            let Some(name) = self.next_queue(&mut command.left) else {
                done = true;
                break;
            };
            self.work.spend(1, name.len());
            match command.operation {
                Operation::Latency => {
                    let seconds = self.latency(store, now, &name)?;
                    command.seconds.insert(name, seconds);
                }
                Operation::Pause => self.set_paused(&mut edit, &name, true),
                Operation::Resume => self.set_paused(&mut edit, &name, false),
                Operation::Remove => self.remove(&mut edit, &name),
            }
        }
        self.unsynced |= !edit.queues.is_empty();
        self.commit_and_serve(store, now, edit)?;
        if !done {
            return Ok(None);
        }
        match command.operation {
            Operation::Latency => {
                let body = serde_json::to_vec(&command.seconds);
                let body = body.map_err(|_| StoreError::Corrupt("latency"))?;
                Ok(Some(Reply::Bulk(Bytes::from(body))))
            }
            Operation::Pause | Operation::Resume | Operation::Remove => Ok(Some(Reply::OK)),
        }
    }

    /// The name of the next queue that a command means.
    fn next_queue(&self, left: &mut Left) -> Option<String> {
        match left {
            Left::Names(names) => names.next().map(String::from),
            Left::All { after, last } => {
                let (id, name) = self.queues.next_known(*after, *last)?;
                *after = id;
                Some(name)
            }
        }
    }

    /// The seconds for which the first job of a queue has waited.
    fn latency(&self, store: &dyn Store, now: Now, name: &str) -> Result<f64, StoreError> {
        let since = match self.queues.id(name).and_then(|id| Some((id, self.queues.get(id)?))) {
            Some((id, queue)) => queue.first_enqueued_at(store, id)?,
            None => None,
        };
        Ok(since.map_or(0.0, |since| now.wall.since(since).as_secs_f64()))
    }

    /// A queue may be paused before its first job comes. Faktory forgets such a pause.
    fn set_paused(&mut self, edit: &mut Edit, name: &str, paused: bool) {
        let id = match self.queues.id(name) {
            Some(id) => id,
            None if paused && self.queues.full().is_none() && may_be_queue(name) => {
                self.create_queue(name)
            }
            None => return,
        };
        if let Some(queue) = self.queues.get_mut(id) {
            queue.paused = paused;
            queue.known = true;
            edit.touch(id);
        }
    }

    /// Removes a queue at once; its jobs are deleted in the background.
    fn remove(&mut self, edit: &mut Edit, name: &str) {
        if let Some(id) = self.queues.remove(name) {
            edit.batch.delete(Table::Meta, keys::queue(id));
            edit.batch.put(Table::Meta, keys::trash(id), Bytes::new());
            self.trash.push_back(Trash { queue: id, from: 0 });
        }
    }

    /// Deletes a bounded part of the jobs of removed queues; true where more jobs are left.
    pub(super) fn advance_trash(&mut self, store: &mut dyn Store) -> Result<bool, StoreError> {
        self.work.begin();
        let Some(trash) = self.trash.front_mut() else { return Ok(false) };
        let to = keys::queued(trash.queue, u64::MAX);
        let mut batch = Batch::default();
        while !self.work.is_spent() {
            let from = keys::queued(trash.queue, trash.from);
            let jobs = store.range(Table::Queued, &from, &to, READ_MAX)?;
            let is_last = jobs.len() < READ_MAX;
            for (key, value) in jobs {
                self.work.spend(1, value.len());
                batch.delete(Table::Bodies, keys::body(Entry::decode(&value)?.job));
                trash.from =
                    keys::position_of(name_of(&key)).ok_or(StoreError::Corrupt("queue key"))? + 1;
                batch.changes.push(Change::Delete(key));
            }
            if is_last {
                batch.delete(Table::Meta, keys::trash(trash.queue));
                self.trash.pop_front();
                break;
            }
        }
        store.write(batch)?;
        Ok(!self.trash.is_empty())
    }
}
