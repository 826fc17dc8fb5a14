//! PUSH and PUSHB: jobs are taken in.

use std::collections::BTreeMap;

use bytes::Bytes;
use faktory_wire::{DEFAULT_RESERVE_FOR, DEFAULT_RETRY, Job, JobError, Reply};

use super::edit::Edit;
use super::keys::{self, EntryKey, Location};
use super::records::Entry;
use super::{Machine, Now};
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

    /// Takes one job in: into its queue, or into the scheduled set where the job is due later. The
    /// error is the text that the server answers with.
    fn admit(&mut self, edit: &mut Edit, now: Now, mut job: Job) -> Result<(), String> {
        let due = job.check().map_err(|error: JobError| error.to_string())?;
        let name = job.queue_name().to_owned();
        let due = due.filter(|due| *due > now.wall);
        // A job that is due later claims its queue at once, so that the limit on queues can't
        // refuse the job when it is due.
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
            Some(due) => {
                self.put_into(edit, Location::Scheduled, EntryKey { due, number }, &entry);
            }
            None => self.append(edit, entry),
        }
        edit.batch.put(Table::Bodies, keys::body(number), body(job, name, now));
        Ok(())
    }
}

/// The body of a job: the part that never changes, as JSON. The time at which the job entered its
/// queue and its failure record are not in the body.
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
