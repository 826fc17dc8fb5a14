//! The end of a queue: jobs are put there, and a queue is made where there is none.

use faktory_wire::Excerpt;

use super::edit::Edit;
use super::queues::{QUEUE_NAME_BYTES_MAX, may_be_queue};
use super::records::Entry;
use super::{Machine, Now, keys, member};
use crate::store::{Store, StoreError, Table};

impl Machine {
    /// The id of the queue with this name; the queue is made where there is none. The error is the
    /// text that the server answers with.
    pub(super) fn queue_for(&mut self, name: &str) -> Result<u32, String> {
        if let Some(id) = self.queues.id(name) {
            return Ok(id);
        }
        if !may_be_queue(name) {
            return Err(format!(
                "cannot get \"{}\" queue: names have at most {QUEUE_NAME_BYTES_MAX} bytes here",
                Excerpt(name)
            ));
        }
        match self.queues.full() {
            Some(limit) => Err(format!(
                "cannot get \"{}\" queue: this server keeps at most {limit} queues",
                Excerpt(name)
            )),
            None => Ok(self.create_queue(name)),
        }
    }

    pub(super) fn create_queue(&mut self, name: &str) -> u32 {
        self.counters.next_queue += 1;
        self.queues.create(self.counters.next_queue, name);
        self.counters.next_queue
    }

    /// Puts an entry at the end of its queue, at the entry's position.
    pub(super) fn append(&mut self, edit: &mut Edit, entry: Entry) {
        edit.touch(entry.queue);
        edit.batch.put(Table::Queued, keys::queued(entry.queue, entry.position), entry.encode());
        if let Some(queue) = self.queues.get_mut(entry.queue) {
            queue.append(entry.position, entry);
        }
    }

    /// Puts a job that comes from a set at the end of its queue, and returns the bytes that were
    /// read for it.
    pub(super) fn enqueue(
        &mut self,
        store: &dyn Store,
        edit: &mut Edit,
        now: Now,
        mut entry: Entry,
    ) -> Result<usize, StoreError> {
        let mut read = 0;
        if self.queues.get(entry.queue).is_none() {
            // The queue was removed in the meantime. The accepted job is kept: its queue is made
            // again, by the name in the job's body.
            let Some(json) = store.get(Table::Bodies, &keys::body(entry.job))? else {
                return Ok(0);
            };
            read = json.len();
            self.work.spend(0, read);
            let name = member::queue_of(&json).ok_or(StoreError::Corrupt("job"))?;
            entry.queue = self.queues.id(&name).unwrap_or_else(|| self.create_queue(&name));
        }
        entry.position = self.counters.number();
        entry.enqueued_at = now.wall;
        self.append(edit, entry);
        Ok(read)
    }
}
