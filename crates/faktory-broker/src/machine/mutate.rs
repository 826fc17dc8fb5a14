//! MUTATE: a long one is carried out in parts, so that other connections' commands go on in
//! between.

use std::collections::{HashSet, VecDeque};

use faktory_wire::{Job, Mutation, MutationKind, Reply};

use super::connections::State;
use super::finish::{DEAD_FOR, slot_of_index};
use super::keys::{self, Place, Slot};
use super::records::Entry;
use super::{CHUNK, ConnectionId, Edit, Machine, Now, fetch, glob, sets};
use crate::store::{Store, StoreError, Table};

/// An entry that is meant, and where it stands.
type Found = (Slot, Entry);

/// A pattern is matched against every job: what it costs is its length times the job's.
const PATTERN_BYTES_MAX: usize = 1024;

/// A mutation under way.
#[derive(Debug)]
pub(super) struct Mutating {
    connection: ConnectionId,
    kind: MutationKind,
    place: Place,
    select: Select,
}

/// Which entries, and how far it has come.
#[derive(Debug)]
enum Select {
    /// Those with these ids, found through the index; of the first id, those with a number behind
    /// `after`.
    Ids { ids: VecDeque<String>, after: Option<u64> },
    /// Those between two keys that match.
    Scan { from: Vec<u8>, to: Vec<u8>, job_type: Option<String>, pattern: Option<String> },
}

impl Machine {
    pub(super) fn start_mutation(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        mutation: Mutation,
    ) -> Result<(), StoreError> {
        let place = Place::from(mutation.target);
        if mutation.filter.regexp.as_ref().is_some_and(|pattern| pattern.len() > PATTERN_BYTES_MAX)
        {
            self.answer(
                connection,
                Reply::error(format!("a regexp has at most {PATTERN_BYTES_MAX} bytes")),
            );
            return Ok(());
        }
        let filter =
            if mutation.kind == MutationKind::Clear { Default::default() } else { mutation.filter };
        let select = match filter.jids {
            Some(jids) => {
                let mut seen = HashSet::new();
                Select::Ids {
                    ids: jids.into_iter().filter(|jid| seen.insert(jid.clone())).collect(),
                    after: None,
                }
            }
            None => Select::Scan {
                from: keys::set_start(place),
                // What dies from now on lies behind this, so that killing the dead comes to an end.
                to: if place == Place::Dead {
                    keys::set_end(place, now.wall.plus(DEAD_FOR))
                } else {
                    keys::set_limit(place)
                },
                job_type: filter.jobtype,
                pattern: filter.regexp,
            },
        };
        self.connections.set_state(connection, State::Mutating);
        self.mutations.push_back(Mutating { connection, kind: mutation.kind, place, select });
        // The first part at once: most mutations are small.
        self.advance_mutation(store, now).map(|_| ())
    }

    /// Carries out a part of the first mutation; true where more is to be done.
    pub(super) fn advance_mutation(
        &mut self,
        store: &mut dyn Store,
        now: Now,
    ) -> Result<bool, StoreError> {
        let Some(mut mutating) = self.mutations.pop_front() else { return Ok(false) };
        let (found, done) = mutating.next_part(store)?;
        let place = mutating.place;
        self.unsynced |= !found.is_empty();
        match mutating.kind {
            MutationKind::Clear | MutationKind::Discard => self.discard(store, place, found)?,
            MutationKind::Requeue => self.requeue(store, now, place, found)?,
            MutationKind::Kill => self.kill(store, now, place, found)?,
        }
        if done {
            self.answer(mutating.connection, Reply::OK);
            self.unblock(mutating.connection);
        } else {
            self.mutations.push_front(mutating);
        }
        Ok(!self.mutations.is_empty())
    }

    fn kill(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        place: Place,
        jobs: Vec<(Slot, Entry)>,
    ) -> Result<(), StoreError> {
        let mut edit = Edit::default();
        let due = now.wall.plus(DEAD_FOR);
        for (slot, entry) in jobs {
            self.take_out(&mut edit, place, slot, &entry);
            self.put_into(&mut edit, Place::Dead, Slot { due, number: entry.job }, &entry);
        }
        self.commit(store, edit)
    }
}

impl Mutating {
    /// The next entries that are meant, and whether they are the last.
    fn next_part(&mut self, store: &dyn Store) -> Result<(Vec<Found>, bool), StoreError> {
        let place = self.place;
        match &mut self.select {
            Select::Ids { ids, after } => {
                let mut found = Vec::new();
                // Ids that are not there cost a look-up too.
                for _ in 0..CHUNK {
                    let Some(jid) = ids.front() else { return Ok((found, true)) };
                    let (entries, last) =
                        entries_of(store, place, jid, *after, CHUNK - found.len())?;
                    found.extend(entries);
                    *after = last;
                    if last.is_some() {
                        break;
                    }
                    ids.pop_front();
                }
                Ok((found, ids.is_empty()))
            }
            Select::Scan { from, to, job_type, pattern } => {
                let mut found = sets::entries(store, from, to, CHUNK)?;
                let done = found.len() < CHUNK;
                if let Some((slot, _)) = found.last() {
                    *from = keys::set(place, *slot);
                    from.push(0);
                }
                if job_type.is_some() || pattern.is_some() {
                    let mut kept = Vec::new();
                    for (slot, entry) in found {
                        if is_meant(store, &entry, job_type.as_deref(), pattern.as_deref())? {
                            kept.push((slot, entry));
                        }
                    }
                    found = kept;
                }
                Ok((found, done))
            }
        }
    }
}

/// Up to `limit` entries with this id and a number behind `after`; and the last number, where there
/// may be more.
fn entries_of(
    store: &dyn Store,
    place: Place,
    jid: &str,
    after: Option<u64>,
    limit: usize,
) -> Result<(Vec<Found>, Option<u64>), StoreError> {
    let hash = keys::id_hash(jid);
    let from = after.map_or_else(
        || keys::index_prefix(place, &hash),
        |number| keys::index(place, &hash, number.saturating_add(1)),
    );
    let pairs = store.range(Table::Index, &from, &keys::index_limit(place, &hash), limit)?;
    let mut found = Vec::new();
    let mut last = None;
    for (key, value) in &pairs {
        let slot = slot_of_index(key, value)?;
        last = Some(slot.number);
        // Both are written and deleted in one batch; an entry of the index that points nowhere is
        // none.
        if let Some(entry) = store.get(Table::Sets, &keys::set(place, slot))? {
            found.push((slot, Entry::decode(&entry)?));
        }
    }
    Ok((found, last.filter(|_| pairs.len() >= limit)))
}

fn is_meant(
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
    Ok(pattern
        .is_none_or(|pattern| glob::matches(pattern.as_bytes(), &fetch::document(body, entry))))
}
