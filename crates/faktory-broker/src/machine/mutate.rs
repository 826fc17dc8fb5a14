//! MUTATE: jobs of a set are moved or deleted, in slices of bounded work. Which jobs are selected
//! is in `select.rs`.

use faktory_wire::{Filter, Mutation, MutationKind, Reply};

use super::edit::Edit;
use super::finish::DEAD_FOR;
use super::index::Found;
use super::keys::{self, EntryKey, Location};
use super::records::{Counters, Entry};
use super::select::{Present, Selection};
use super::{Machine, Now};
use crate::store::{Store, StoreError, Table};

/// The most bytes in a pattern. A byte of a job costs one operation for every 64 bytes of the
/// pattern.
const PATTERN_BYTES_MAX: usize = 1024;

/// A mutation that is being carried out.
#[derive(Debug)]
pub(super) struct RunningMutation {
    kind: MutationKind,
    location: Location,
    selection: Selection,
    /// Selected entries that the last slice did not reach.
    rest: Vec<EntryKey>,
    all_selected: bool,
}

impl RunningMutation {
    /// A mutation that has done nothing yet. The error is the text that the server answers with.
    pub(super) fn new(mutation: Mutation, mut counters: Counters) -> Result<Self, String> {
        let Mutation { kind, target, filter } = mutation;
        if filter.regexp.as_ref().is_some_and(|pattern| pattern.len() > PATTERN_BYTES_MAX) {
            return Err(format!("a regexp has at most {PATTERN_BYTES_MAX} bytes"));
        }
        let location = Location::from(target);
        let filter = if kind == MutationKind::Clear { Filter::default() } else { filter };
        // Jobs that come into the set from now on are left alone, or a requeue of jobs that fail
        // again would never end. Numbers tell which they are, not times: the wall clock may be set
        // back.
        let present = Present { last: counters.next, left: *counters.size(location) };
        let selection = Selection::new(filter, location, present);
        Ok(Self { kind, location, selection, rest: Vec::new(), all_selected: false })
    }

    /// True where the mutation stopped inside a job, whose text it keeps.
    pub(super) const fn holds_a_text(&self) -> bool {
        self.selection.holds_a_text()
    }

    /// True where the mutation looks into jobs.
    pub(super) const fn reads_texts(&self) -> bool {
        self.selection.reads_texts()
    }
}

impl Machine {
    /// Carries out a slice of a mutation; the answer where the mutation is done.
    pub(super) fn advance_mutation(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        mutation: &mut RunningMutation,
    ) -> Result<Option<Reply>, StoreError> {
        let location = mutation.location;
        let found = if mutation.rest.is_empty() {
            let (found, done) = mutation.selection.next(store, location, &mut self.work)?;
            mutation.all_selected = done;
            found
        } else {
            let keys = std::mem::take(&mut mutation.rest);
            self.still_there(store, location, keys, mutation.selection.last())?
        };
        self.unsynced |= !found.is_empty();
        match mutation.kind {
            MutationKind::Clear | MutationKind::Discard => self.discard(store, location, found)?,
            MutationKind::Requeue => {
                mutation.rest = self.requeue(store, now, location, found)?;
            }
            MutationKind::Kill => self.kill(store, now, location, found)?,
        }
        Ok((mutation.rest.is_empty() && mutation.all_selected).then_some(Reply::OK))
    }

    /// The entries that are still in the set, and were put there with a number up to `last`.
    fn still_there(
        &mut self,
        store: &dyn Store,
        location: Location,
        keys: Vec<EntryKey>,
        last: u64,
    ) -> Result<Vec<Found>, StoreError> {
        let mut found = Vec::new();
        for key in keys {
            self.work.spend(1, 0);
            if let Some(entry) = store.get(Table::Sets, &keys::set(location, key))? {
                let entry = Entry::decode(&entry)?;
                if entry.position <= last {
                    found.push((key, entry));
                }
            }
        }
        Ok(found)
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
        for (key, mut entry) in jobs {
            self.take_out(&mut edit, location, key, &entry);
            entry.position = self.counters.number();
            self.put_into(&mut edit, Location::Dead, EntryKey { due, number: entry.job }, &entry);
        }
        self.commit(store, edit)
    }
}
