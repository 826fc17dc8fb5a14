//! PUSH and PUSHB: jobs are taken in. A small PUSHB is one atomic write; a large one is stored in
//! slices, each an atomic write, in the order of its jobs.

use std::collections::BTreeMap;

use bytes::Bytes;
use faktory_wire::{
    DEFAULT_QUEUE, DEFAULT_RESERVE_FOR, DEFAULT_RETRY, EXCERPT_CHARS_MAX, Job, JobError, Reply,
    Timestamp,
};

use super::edit::Edit;
use super::keys::{self, EntryKey, IdHash, JID_BYTES_MAX, Location};
use super::once::{Groups, Refused};
use super::queues::Queues;
use super::records::Entry;
use super::work::SLICE_BYTES;
use super::{Machine, Now};
use crate::store::{Store, StoreError, Table};

/// The most jobs of a PUSHB that is one atomic write; as many as our own link sends at once.
const ATOMIC_JOBS_MAX: usize = 1000;
/// The most bytes of the jobs of such a PUSHB.
const ATOMIC_BYTES_MAX: usize = 1 << 20;

/// The most bytes of a body that is made in memory which is kept for the next one.
const KEPT_BYTES: usize = 64 << 10;

/// The jobs of a PUSHB that count as one step of work where only their sizes are looked at.
pub(super) const JOBS_OF_A_STEP: usize = 1000;
/// The most bytes of a refusal in an answer, beside the text of the job that it repeats.
const REFUSAL_BYTES: usize = 160;

/// A large PUSHB of which some slices may be done.
#[derive(Debug)]
pub(super) struct RunningPush {
    jobs: std::vec::IntoIter<Job>,
    /// Where the jobs are stored once.
    groups: Option<Groups>,
    refused: BTreeMap<String, String>,
    /// The beginning of the answer, once all jobs are stored.
    answer: Vec<u8>,
}

impl RunningPush {
    pub(super) fn new(jobs: Vec<Job>, groups: Option<Groups>) -> Self {
        let (jobs, refused, answer) = (jobs.into_iter(), BTreeMap::new(), Vec::new());
        Self { jobs, groups, refused, answer }
    }

    /// True where the next job is longer than all else that a slice may do.
    pub(super) fn is_next_long(&self) -> bool {
        self.jobs.as_slice().first().is_some_and(|job| bytes_of(job) >= SLICE_BYTES)
    }
}

/// True for a PUSHB that is more than one atomic write takes.
pub(super) fn is_large(jobs: &[Job]) -> bool {
    jobs.len() > ATOMIC_JOBS_MAX || jobs.iter().map(bytes_of).sum::<usize>() > ATOMIC_BYTES_MAX
}

/// What a PUSHB is refused with as a whole: an answer repeats the ids of refused jobs, and would be
/// as large as the command.
pub(super) fn refusal_of_all(jobs: &[Job]) -> Option<String> {
    let is_any_too_long = jobs.iter().any(|job| job.jid.len() > JID_BYTES_MAX);
    is_any_too_long.then(|| format!("invalid JSON: {}", jid_too_long()))
}

/// The most bytes in the answer to a PUSHB of these jobs, as if each were refused. The texts are
/// not read: a byte of an id becomes at most six, a character of another text at most eleven.
pub(super) fn answer_bytes(jobs: &[Job]) -> usize {
    let of = |job: &Job| {
        let repeated = [&job.queue, &job.at].map(|text| text.as_ref().map_or(0, String::len));
        let repeated = repeated.into_iter().max().unwrap_or(0).min(EXCERPT_CHARS_MAX);
        6 * job.jid.len() + 11 * repeated + REFUSAL_BYTES
    };
    jobs.iter().map(of).sum()
}

/// True where one of the jobs of a PUSHB may be refused.
pub(super) fn may_refuse_any(jobs: &[Job], queues: &Queues) -> bool {
    let is_taken =
        |job: &Job| job.check().is_ok() && queues.take_jobs_of(job.queue_name(), jobs.len());
    !jobs.iter().all(is_taken)
}

impl Machine {
    pub(super) fn push(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        job: Job,
    ) -> Result<Reply, StoreError> {
        let mut edit = Edit::default();
        let id = keys::id_hash(&job.jid);
        if let Err(refused) = self.admit(&mut edit, now, job, id) {
            return Ok(Reply::error(refused.reason));
        }
        self.commit_and_serve(store, now, edit)?;
        Ok(Reply::OK)
    }

    /// Takes in the jobs of a small PUSHB, in one atomic write.
    pub(super) fn push_bulk(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        jobs: Vec<Job>,
        mut groups: Option<Groups>,
    ) -> Result<Reply, StoreError> {
        let mut edit = Edit::default();
        let mut refused = BTreeMap::new();
        for job in jobs {
            let taken = self.admit_of_many(store, &mut edit, now, job, groups.as_mut())?;
            note_refused(&mut refused, taken);
        }
        self.commit_and_serve(store, now, edit)?;
        let body = serde_json::to_vec(&refused).map_err(|_| StoreError::Corrupt("push results"))?;
        Ok(Reply::Bulk(Bytes::from(body)))
    }

    /// Stores the next jobs of a large PUSHB, or writes the next part of its answer; the answer
    /// where it is complete.
    pub(super) fn advance_push(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        push: &mut RunningPush,
    ) -> Result<Option<Reply>, StoreError> {
        let mut edit = Edit::default();
        while !self.work.is_spent() {
            if let Some(job) = push.jobs.next() {
                let groups = push.groups.as_mut();
                let taken = self.admit_of_many(store, &mut edit, now, job, groups)?;
                note_refused(&mut push.refused, taken);
                continue;
            }
            let Some((jid, refusal)) = push.refused.pop_first() else {
                self.commit_and_serve(store, now, edit)?;
                push.answer.extend_from_slice(if push.answer.is_empty() { b"{}" } else { b"}" });
                return Ok(Some(Reply::Bulk(Bytes::from(std::mem::take(&mut push.answer)))));
            };
            self.work.spend(1, jid.len() + refusal.len());
            push.answer.push(if push.answer.is_empty() { b'{' } else { b',' });
            serde_json::to_writer(&mut push.answer, &jid)
                .and_then(|()| {
                    push.answer.push(b':');
                    serde_json::to_writer(&mut push.answer, &refusal)
                })
                .map_err(|_| StoreError::Corrupt("push results"))?;
        }
        self.commit_and_serve(store, now, edit)?;
        Ok(None)
    }

    fn admit_of_many(
        &mut self,
        store: &mut dyn Store,
        edit: &mut Edit,
        now: Now,
        job: Job,
        groups: Option<&mut Groups>,
    ) -> Result<Result<(), Refused>, StoreError> {
        let id = keys::id_hash(&job.jid);
        match groups {
            Some(groups) => self.admit_once(store, edit, now, (job, id), groups),
            None => Ok(self.admit(edit, now, job, id)),
        }
    }

    /// Takes one job in: into its queue, or into the scheduled set where the job is due later. `id`
    /// is the hash of its id.
    pub(super) fn admit(
        &mut self,
        edit: &mut Edit,
        now: Now,
        mut job: Job,
        id: IdHash,
    ) -> Result<(), Refused> {
        self.work.spend(1, 0);
        let (due, queue) = match self.place_of(&job) {
            Ok(place) => place,
            Err(reason) => return Err(Refused { jid: job.jid, reason }),
        };
        let due = due.filter(|due| *due > now.wall);
        edit.touch(queue);
        let number = self.counters.number();
        let entry = Entry {
            job: number,
            queue,
            position: number,
            retry: job.retry.unwrap_or(DEFAULT_RETRY),
            reserve_for: job.effective_reserve_for(),
            enqueued_at: now.wall,
            id,
            failure: job.failure.take().map(faktory_wire::Failure::within_limits),
        };
        match due {
            Some(due) => {
                self.put_into(edit, Location::Scheduled, EntryKey { due, number }, &entry);
            }
            None => self.append(edit, entry),
        }
        let body = self.body(job, now);
        self.work.spend(0, body.len());
        edit.batch.put(Table::Bodies, keys::body(number), body);
        Ok(())
    }

    /// When a job is due, and its queue. The error is the text that the server answers with.
    fn place_of(&mut self, job: &Job) -> Result<(Option<Timestamp>, u32), String> {
        let due = job.check().map_err(|error: JobError| error.to_string())?;
        if job.jid.len() > JID_BYTES_MAX {
            return Err(jid_too_long());
        }
        // A job that is due later claims its queue at once, so that the limit on queues can't
        // refuse the job when it is due.
        Ok((due, self.queue_for(job.queue_name())?))
    }

    /// The body of a job: the part that never changes, as JSON. The time at which the job entered
    /// its queue and its failure record are not in the body.
    fn body(&mut self, mut job: Job, now: Now) -> Bytes {
        if job.queue.as_ref().is_none_or(String::is_empty) {
            job.queue = Some(DEFAULT_QUEUE.to_owned());
        }
        job.retry = job.retry.or(Some(DEFAULT_RETRY));
        job.reserve_for =
            job.reserve_for.filter(|seconds| *seconds != 0).or(Some(DEFAULT_RESERVE_FOR));
        job.created_at =
            job.created_at.filter(|text| !text.is_empty()).or_else(|| Some(now.wall.to_string()));
        job.at = job.at.filter(|text| !text.is_empty());
        job.backtrace = job.backtrace.filter(|lines| *lines != 0);
        job.enqueued_at = None;
        let bytes = job.encoded_bytes();
        if bytes > KEPT_BYTES {
            // Too long to be copied once more.
            let mut body = Vec::with_capacity(bytes);
            job.encode(&mut body);
            return body.into();
        }
        self.json.clear();
        job.encode(&mut self.json);
        let body = Bytes::copy_from_slice(&self.json);
        // A failure record may be long.
        if self.json.capacity() > 2 * KEPT_BYTES {
            self.json = Vec::new();
        }
        body
    }
}

fn note_refused(all: &mut BTreeMap<String, String>, taken: Result<(), Refused>) {
    if let Err(Refused { jid, reason }) = taken {
        all.insert(jid, reason);
    }
}

fn jid_too_long() -> String {
    format!("jobs must have a jid of at most {JID_BYTES_MAX} bytes")
}

/// The bytes of the parts of a job that may be large.
fn bytes_of(job: &Job) -> usize {
    let custom = job.custom.as_ref().map_or(0, |custom| custom.get().len());
    let texts = [&job.queue, &job.at, &job.created_at].into_iter().flatten();
    let failure = job.failure.as_ref().map_or(0, |failure| {
        let of_lines = failure.backtrace.iter().map(String::len).sum::<usize>();
        failure.errtype.len() + failure.message.len() + of_lines
    });
    let texts = texts.map(String::len).sum::<usize>();
    job.jid.len() + job.jobtype.len() + job.args_json().len() + custom + texts + failure
}
