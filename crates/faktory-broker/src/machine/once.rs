//! `WF PUSHB`: jobs are stored once, however often they are pushed. What is remembered of their ids
//! is in `remembered.rs`.

use faktory_wire::{JOB_ID_REUSED, Job, KEY_REUSED, PushGroup};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::edit::Edit;
use super::keys::IdHash;
use super::refusals::DISK_FULL;
use super::remembered::{Id, Known, Place};
use super::{Machine, Now};
use crate::store::{Store, StoreError};

/// A job that is not taken in.
pub(super) struct Refused {
    pub(super) jid: String,
    /// The text that the server answers with.
    pub(super) reason: String,
}

/// What holds for the jobs of a push, in their order.
#[derive(Debug)]
pub(super) struct Groups {
    rest: std::vec::IntoIter<PushGroup>,
    current: Group,
}

/// What holds for the next jobs.
#[derive(Debug)]
struct Group {
    /// The jobs that are left of it.
    left: usize,
    caller: Option<String>,
    seconds: Option<u32>,
    /// Its key, where that is not remembered yet.
    key: Option<NewKey>,
    /// Its key was used with other contents.
    is_key_reused: bool,
}

/// A key that is remembered with the first job that is pushed under it, for the whole window: a
/// push of which every job is refused has used no key up.
#[derive(Debug, Clone, Copy)]
struct NewKey {
    id: Id,
    old: Option<Place>,
    contents: u64,
}

impl Groups {
    pub(super) fn new(groups: Vec<PushGroup>) -> Self {
        // Without groups nothing special holds for any job.
        let left = if groups.is_empty() { usize::MAX } else { 0 };
        let current = Group { left, caller: None, seconds: None, key: None, is_key_reused: false };
        Self { rest: groups.into_iter(), current }
    }
}

/// A hash of what a job is to do: its type, its arguments and its queue.
fn contents_of(job: &Job) -> u64 {
    let hash = xxh3_64(job.jobtype.as_bytes());
    let hash = xxh3_64_with_seed(job.args_json().as_bytes(), hash);
    xxh3_64_with_seed(job.queue_name().as_bytes(), hash)
}

impl Machine {
    /// Takes one job in, unless its id is remembered. `id` is the hash of the id.
    pub(super) fn admit_once(
        &mut self,
        store: &mut dyn Store,
        edit: &mut Edit,
        now: Now,
        (job, hash): (Job, IdHash),
        groups: &mut Groups,
    ) -> Result<Result<(), Refused>, StoreError> {
        self.enter_group(store, now, groups)?;
        let group = &mut groups.current;
        let refused = |jid, reason: &str| Ok(Err(Refused { jid, reason: reason.to_owned() }));
        if group.is_key_reused {
            self.work.spend(1, 0);
            return refused(job.jid, KEY_REUSED);
        }
        let id = Id::of_job(&job.jid, hash, group.caller.as_deref());
        let contents = contents_of(&job);
        let old = match self.remembered.look_up(store, now.wall, &id, contents)? {
            Known::New(_) if self.disk_is_full => {
                self.work.spend(1, 0);
                self.refused_pushes += 1;
                return refused(job.jid, DISK_FULL);
            }
            Known::New(old) => old,
            Known::Same => {
                self.work.spend(1, 0);
                self.remembered.duplicates += 1;
                self.remember_key(store, now, &mut group.key)?;
                return Ok(Ok(()));
            }
            Known::Other => {
                self.work.spend(1, 0);
                return refused(job.jid, JOB_ID_REUSED);
            }
        };
        let taken = self.admit(edit, now, job, hash);
        if taken.is_ok() {
            self.touched.get_or_insert_default();
            self.remembered.remember(store, now.wall, (&id, old), contents, group.seconds)?;
            self.remember_key(store, now, &mut group.key)?;
        }
        Ok(taken)
    }

    fn remember_key(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        key: &mut Option<NewKey>,
    ) -> Result<(), StoreError> {
        let Some(NewKey { id, old, contents }) = key.take() else { return Ok(()) };
        // Another group of the same push may have the same key.
        if self.remembered.look_up(store, now.wall, &id, contents)? != Known::New(old) {
            return Ok(());
        }
        self.touched.get_or_insert_default();
        self.unsynced = true;
        self.remembered.remember(store, now.wall, (&id, old), contents, None)
    }

    /// Goes on to the group of the next job, and looks at its key.
    fn enter_group(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        groups: &mut Groups,
    ) -> Result<(), StoreError> {
        while groups.current.left == 0
            && let Some(PushGroup { jobs, caller, seconds, key }) = groups.rest.next()
        {
            self.work.spend(1, 0);
            let (mut new_key, mut is_key_reused) = (None, false);
            // What is pushed under a key is remembered as long as the key, or a push of the same
            // key and contents would store it again.
            let seconds = seconds.filter(|_| key.is_none());
            if let Some(key) = key {
                let id = Id::of_key(&key.id, caller.as_deref());
                let contents = xxh3_64(key.hash.as_bytes());
                match self.remembered.look_up(store, now.wall, &id, contents)? {
                    Known::Same => {}
                    Known::Other => is_key_reused = true,
                    Known::New(old) => new_key = Some(NewKey { id, old, contents }),
                }
            }
            groups.current = Group { left: jobs, caller, seconds, key: new_key, is_key_reused };
        }
        groups.current.left = groups.current.left.saturating_sub(1);
        Ok(())
    }
}
