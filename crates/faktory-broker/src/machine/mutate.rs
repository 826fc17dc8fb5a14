//! MUTATE: jobs of a set are moved or deleted. A long mutation is carried out in parts, so that the
//! commands of other connections go on in between.

use std::collections::{HashSet, VecDeque};

use faktory_wire::{Filter, Job, Mutation, MutationKind, Reply};

use super::connections::State;
use super::edit::Edit;
use super::finish::DEAD_FOR;
use super::index::{Found, entries_of};
use super::keys::{self, EntryKey, Location};
use super::records::Entry;
use super::{CHUNK, ConnectionId, Machine, Now, glob, sets};
use crate::store::{Store, StoreError, Table};

/// The most bytes in a pattern. A pattern is matched against every job of a set, and a match costs
/// at the worst the length of the pattern times that of the job.
const PATTERN_BYTES_MAX: usize = 1024;

/// A mutation that is being carried out.
#[derive(Debug)]
pub(super) struct RunningMutation {
    connection: ConnectionId,
    kind: MutationKind,
    location: Location,
    selection: Selection,
}

/// The entries that are still to be handled.
#[derive(Debug)]
enum Selection {
    /// Entries with these ids, found through the index. Of the first id, only the entries whose
    /// number is larger than `after` are left.
    Ids { ids: VecDeque<String>, after: Option<u64> },
    /// Entries from a key on that match, of the next `left` entries.
    Scan { from: Vec<u8>, left: u64, job_type: Option<String>, pattern: Option<String> },
}

impl Selection {
    fn new(filter: Filter, location: Location, left: u64) -> Self {
        match filter.jids {
            Some(jids) => {
                let mut seen = HashSet::new();
                let ids = jids.into_iter().filter(|jid| seen.insert(jid.clone())).collect();
                Self::Ids { ids, after: None }
            }
            None => Self::Scan {
                from: keys::set_start(location),
                left,
                job_type: filter.jobtype,
                pattern: filter.regexp,
            },
        }
    }
}

impl Machine {
    pub(super) fn start_mutation(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        mutation: Mutation,
    ) -> Result<(), StoreError> {
        let Mutation { kind, target, filter } = mutation;
        let location = Location::from(target);
        if filter.regexp.as_ref().is_some_and(|pattern| pattern.len() > PATTERN_BYTES_MAX) {
            let text = format!("a regexp has at most {PATTERN_BYTES_MAX} bytes");
            self.answer(connection, Reply::error(text));
            return Ok(());
        }
        let filter = if kind == MutationKind::Clear { Filter::default() } else { filter };
        // A dead job that is killed lies in the same set again, so that only its size bounds the
        // scan. No time does: the wall clock may be set back.
        let left = match (kind, location) {
            (MutationKind::Kill, Location::Dead) => *self.counters.size(location),
            _ => u64::MAX,
        };
        let selection = Selection::new(filter, location, left);
        self.connections.set_state(connection, State::Mutating);
        self.mutations.push_back(RunningMutation { connection, kind, location, selection });
        // The first part is done at once, since most mutations are small.
        self.advance_mutation(store, now).map(|_| ())
    }

    /// Carries out a part of the first mutation; true where more is to be done.
    pub(super) fn advance_mutation(
        &mut self,
        store: &mut dyn Store,
        now: Now,
    ) -> Result<bool, StoreError> {
        let Some(mut mutation) = self.mutations.pop_front() else { return Ok(false) };
        let (found, done) = mutation.next_part(store)?;
        let location = mutation.location;
        self.unsynced |= !found.is_empty();
        match mutation.kind {
            MutationKind::Clear | MutationKind::Discard => self.discard(store, location, found)?,
            MutationKind::Requeue => self.requeue(store, now, location, found)?,
            MutationKind::Kill => self.kill(store, now, location, found)?,
        }
        if done {
            self.answer(mutation.connection, Reply::OK);
            self.unblock(mutation.connection);
        } else {
            self.mutations.push_front(mutation);
        }
        Ok(!self.mutations.is_empty())
    }

    fn kill(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        location: Location,
        jobs: Vec<Found>,
    ) -> Result<(), StoreError> {
        let mut edit = Edit::default();
        let due = now.wall.plus(DEAD_FOR);
        for (key, entry) in jobs {
            self.take_out(&mut edit, location, key, &entry);
            self.put_into(&mut edit, Location::Dead, EntryKey { due, number: entry.job }, &entry);
        }
        self.commit(store, edit)
    }
}

impl RunningMutation {
    /// The next entries, and whether they are the last.
    fn next_part(&mut self, store: &dyn Store) -> Result<(Vec<Found>, bool), StoreError> {
        let location = self.location;
        match &mut self.selection {
            Selection::Ids { ids, after } => next_by_id(store, location, ids, after),
            Selection::Scan { from, left, job_type, pattern } => {
                let limit = usize::try_from(*left).unwrap_or(CHUNK).min(CHUNK);
                let mut found = sets::entries(store, from, &keys::set_limit(location), limit)?;
                *left -= found.len() as u64;
                let done = found.len() < CHUNK || *left == 0;
                if let Some((key, _)) = found.last() {
                    *from = keys::set(location, *key);
                    from.push(0);
                }
                if job_type.is_some() || pattern.is_some() {
                    let mut kept = Vec::new();
                    for (key, entry) in found {
                        if matches(store, &entry, job_type.as_deref(), pattern.as_deref())? {
                            kept.push((key, entry));
                        }
                    }
                    found = kept;
                }
                Ok((found, done))
            }
        }
    }
}

/// The next entries with these ids, and whether they are the last.
fn next_by_id(
    store: &dyn Store,
    location: Location,
    ids: &mut VecDeque<String>,
    after: &mut Option<u64>,
) -> Result<(Vec<Found>, bool), StoreError> {
    let mut found = Vec::new();
    // The number of ids is bounded too: an id that finds nothing costs a look-up all the same.
    for _ in 0..CHUNK {
        let Some(jid) = ids.front() else { return Ok((found, true)) };
        let (entries, last) = entries_of(store, location, jid, *after, CHUNK - found.len())?;
        found.extend(entries);
        *after = last;
        if last.is_some() {
            break;
        }
        ids.pop_front();
    }
    Ok((found, ids.is_empty()))
}

fn matches(
    store: &dyn Store,
    entry: &Entry,
    job_type: Option<&str>,
    pattern: Option<&str>,
) -> Result<bool, StoreError> {
    let Some(body) = store.get(Table::Bodies, &keys::body(entry.job))? else { return Ok(false) };
    if let Some(wanted) = job_type {
        let job = Job::parse(&body).map_err(|_| StoreError::Corrupt("job"))?;
        if job.jobtype != wanted {
            return Ok(false);
        }
    }
    Ok(pattern.is_none_or(|pattern| glob::matches(pattern.as_bytes(), &entry.document(body))))
}
