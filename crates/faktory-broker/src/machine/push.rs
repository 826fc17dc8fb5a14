//! PUSH and PUSHB: taking jobs in.

use std::collections::BTreeMap;

use bytes::Bytes;
use faktory_wire::{DEFAULT_RESERVE_FOR, DEFAULT_RETRY, Job, JobError, Reply};

use super::keys::{self, Place, Slot};
use super::queue_ops::{QUEUE_NAME_BYTES_MAX, may_be_queue};
use super::records::Entry;
use super::{Edit, Machine, Now};
use crate::store::{Store, StoreError, Table};

impl Machine {
    pub(super) fn push(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        job: Job,
    ) -> Result<Reply, StoreError> {
        let mut edit = Edit::default();
        if let Err(refusal) = self.admit(&mut edit, now, job) {
            return Ok(Reply::error(refusal));
        }
        self.commit_and_serve(store, now, edit)?;
        Ok(Reply::OK)
    }

    pub(super) fn push_bulk(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        jobs: Vec<Job>,
    ) -> Result<Reply, StoreError> {
        let mut edit = Edit::default();
        let mut refused = BTreeMap::new();
        for job in jobs {
            let jid = job.jid.clone();
            if let Err(refusal) = self.admit(&mut edit, now, job) {
                refused.insert(jid, refusal);
            }
        }
        self.commit_and_serve(store, now, edit)?;
        let body = serde_json::to_vec(&refused).map_err(|_| StoreError::Corrupt("push results"))?;
        Ok(Reply::Bulk(Bytes::from(body)))
    }

    /// Writes, and hands jobs to those who wait for the queues that were touched.
    pub(super) fn commit_and_serve(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        edit: Edit,
    ) -> Result<(), StoreError> {
        self.unsynced |= !edit.batch.changes.is_empty();
        let queues = edit.queues.clone();
        self.commit(store, edit)?;
        for queue in queues {
            self.serve(store, now, queue)?;
        }
        Ok(())
    }

    /// Takes one job in: into its queue, or the scheduled set where it is for later.
    fn admit(&mut self, edit: &mut Edit, now: Now, mut job: Job) -> Result<(), String> {
        let due = job.check().map_err(|error: JobError| error.to_string())?;
        let name = job.queue_name().to_owned();
        let due = due.filter(|due| *due > now.wall);
        // A job for later claims its queue now: when it is due there must be room for it.
        let queue = self.queue_for(&name)?;
        edit.touch(queue);
        let number = self.counters.number();
        let entry = Entry {
            job: number,
            queue,
            position: number,
            retry: job.retry.unwrap_or(DEFAULT_RETRY),
            reserve_for: job.effective_reserve_for(),
            enqueued_at: now.wall,
            id: keys::id_hash(&job.jid),
            failure: job.failure.take(),
        };
        match due {
            Some(due) => self.put_into(edit, Place::Scheduled, Slot { due, number }, &entry),
            None => self.append(edit, entry),
        }
        edit.batch.put(Table::Bodies, keys::body(number), body(job, name, now));
        Ok(())
    }

    /// The queue of this name, made where there is none; the error is the text that the server
    /// answers with.
    fn queue_for(&mut self, name: &str) -> Result<u32, String> {
        if let Some(id) = self.queues.id(name) {
            return Ok(id);
        }
        if !may_be_queue(name) {
            let shown: String = name.chars().take(100).collect();
            return Err(format!(
                "cannot get \"{shown}\" queue: names have at most {QUEUE_NAME_BYTES_MAX} bytes \
                 here"
            ));
        }
        match self.queues.full() {
            Some(limit) => Err(format!(
                "cannot get \"{name}\" queue: this server keeps at most {limit} queues"
            )),
            None => Ok(self.create_queue(name)),
        }
    }

    pub(super) fn create_queue(&mut self, name: &str) -> u32 {
        self.counters.next_queue += 1;
        self.queues.create(self.counters.next_queue, name);
        self.counters.next_queue
    }

    /// Puts an entry at the end of its queue, at its position.
    fn append(&mut self, edit: &mut Edit, entry: Entry) {
        edit.touch(entry.queue);
        edit.batch.put(Table::Queued, keys::queued(entry.queue, entry.position), entry.encode());
        if let Some(queue) = self.queues.get_mut(entry.queue) {
            queue.append(entry.position, entry);
        }
    }

    /// Brings a job from a set (back) into its queue.
    pub(super) fn enqueue(
        &mut self,
        store: &dyn Store,
        edit: &mut Edit,
        now: Now,
        mut entry: Entry,
    ) -> Result<(), StoreError> {
        if self.queues.get(entry.queue).is_none() {
            // The queue was removed meanwhile; what was accepted is not lost for that.
            let Some(json) = store.get(Table::Bodies, &keys::body(entry.job))? else {
                return Ok(());
            };
            let job = Job::parse(&json).map_err(|_| StoreError::Corrupt("job"))?;
            let name = job.queue_name();
            entry.queue = self.queues.id(name).unwrap_or_else(|| self.create_queue(name));
        }
        entry.position = self.counters.number();
        entry.enqueued_at = now.wall;
        self.append(edit, entry);
        Ok(())
    }

    /// Puts an entry into a set.
    pub(super) fn put_into(&mut self, edit: &mut Edit, place: Place, slot: Slot, entry: &Entry) {
        edit.batch.put(Table::Sets, keys::set(place, slot), entry.encode());
        edit.batch.put(
            Table::Index,
            keys::index(place, &entry.id, slot.number),
            keys::due_value(slot.due),
        );
        *self.counters.size(place) += 1;
        self.timers.note(place, slot);
    }

    /// Takes an entry out of a set.
    pub(super) fn take_out(&mut self, edit: &mut Edit, place: Place, slot: Slot, entry: &Entry) {
        edit.batch.delete(Table::Sets, keys::set(place, slot));
        edit.batch.delete(Table::Index, keys::index(place, &entry.id, slot.number));
        let size = self.counters.size(place);
        *size = size.saturating_sub(1);
    }
}

/// The part of a job that never changes, as JSON: everything but when it came into its queue and
/// how it failed.
fn body(mut job: Job, queue: String, now: Now) -> Vec<u8> {
    job.queue = Some(queue);
    job.retry = job.retry.or(Some(DEFAULT_RETRY));
    job.reserve_for = job.reserve_for.filter(|seconds| *seconds != 0).or(Some(DEFAULT_RESERVE_FOR));
    job.created_at =
        job.created_at.filter(|text| !text.is_empty()).or_else(|| Some(now.wall.to_string()));
    job.at = job.at.filter(|text| !text.is_empty());
    job.backtrace = job.backtrace.filter(|lines| *lines != 0);
    job.enqueued_at = None;
    let mut json = Vec::new();
    job.encode(&mut json);
    json
}
