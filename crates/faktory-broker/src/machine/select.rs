//! The jobs that a MUTATE selects, found in parts of bounded work: by ids, or by a walk over a set.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use faktory_wire::Filter;

use super::glob::{Glob, Progress};
use super::index::{Found, entries_of};
use super::keys::{self, EntryKey, IdHash, Location};
use super::member::{Search, Searched};
use super::records::Entry;
use super::work::Work;
use super::{READ_MAX, sets};
use crate::store::{Store, StoreError, Table};

/// The entries that are still to be found.
#[derive(Debug)]
pub(super) enum Selection {
    Ids(Ids),
    Scan(Box<Scan>),
}

/// What was in the set when the mutation began. Every job that is put into the set gets a number
/// that is larger than all before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Present {
    /// The last number at that time.
    pub(super) last: u64,
    /// The entries of that time that a walk over the set has not seen yet.
    pub(super) left: u64,
}

impl Present {
    const fn holds(&self, entry: &Entry) -> bool {
        entry.position <= self.last
    }
}

/// Entries with these ids, found through the index. Of the first id, only the entries whose number
/// is larger than `after` are left.
#[derive(Debug)]
pub(super) struct Ids {
    ids: VecDeque<String>,
    after: Option<u64>,
    present: Present,
    /// Ids that were handled: a repeated id moves its jobs once.
    seen: HashSet<IdHash>,
}

/// Entries from a key on, those that match where there is a filter.
#[derive(Debug)]
pub(super) struct Scan {
    from: Vec<u8>,
    present: Present,
    /// The type of a job as JSON.
    job_type: Option<Vec<u8>>,
    pattern: Option<Glob>,
    /// A job that the last part did not get through.
    matching: Option<Matching>,
}

/// A job that is being looked into.
#[derive(Debug)]
struct Matching {
    key: EntryKey,
    /// The body, and what the job's document has behind it: a large body is not copied.
    body: Bytes,
    rest: Vec<u8>,
    search: Option<Search>,
    progress: Option<Progress>,
}

impl Selection {
    pub(super) fn new(filter: Filter, location: Location, present: Present) -> Self {
        if let Some(ids) = filter.jids {
            let (ids, seen) = (ids.into(), HashSet::new());
            return Self::Ids(Ids { ids, after: None, present, seen });
        }
        Self::Scan(Box::new(Scan {
            from: keys::set_start(location).to_vec(),
            present,
            job_type: filter.jobtype.and_then(|job_type| serde_json::to_vec(&job_type).ok()),
            pattern: filter.regexp.map(|pattern| Glob::new(pattern.as_bytes())),
            matching: None,
        }))
    }

    /// The last number of a job that was in the set when the mutation began.
    pub(super) const fn last(&self) -> u64 {
        match self {
            Self::Ids(ids) => ids.present.last,
            Self::Scan(scan) => scan.present.last,
        }
    }

    pub(super) const fn holds_a_text(&self) -> bool {
        match self {
            Self::Ids(_) => false,
            Self::Scan(scan) => scan.matching.is_some(),
        }
    }

    pub(super) const fn reads_texts(&self) -> bool {
        match self {
            Self::Ids(_) => false,
            Self::Scan(scan) => scan.pattern.is_some() || scan.job_type.is_some(),
        }
    }

    /// The next entries, and whether they are the last.
    pub(super) fn next(
        &mut self,
        store: &dyn Store,
        location: Location,
        work: &mut Work,
    ) -> Result<(Vec<Found>, bool), StoreError> {
        match self {
            Self::Ids(ids) => ids.next(store, location, work),
            Self::Scan(scan) => scan.next(store, location, work),
        }
    }
}

impl Ids {
    fn next(
        &mut self,
        store: &dyn Store,
        location: Location,
        work: &mut Work,
    ) -> Result<(Vec<Found>, bool), StoreError> {
        let mut found = Vec::new();
        while !work.is_spent() {
            let Some(jid) = self.ids.front() else { break };
            // An id that finds nothing costs a look-up all the same.
            work.spend(1, jid.len());
            let is_new = self.after.is_some() || self.seen.insert(keys::id_hash(jid));
            if is_new {
                let (entries, last) = entries_of(store, location, jid, self.after, READ_MAX)?;
                work.spend(entries.len(), 0);
                found.extend(entries.into_iter().filter(|(_, entry)| self.present.holds(entry)));
                // Jobs with larger numbers were pushed after the beginning.
                self.after = last.filter(|last| *last < self.present.last);
                if self.after.is_some() {
                    continue;
                }
            }
            self.ids.pop_front();
        }
        Ok((found, self.ids.is_empty()))
    }
}

impl Scan {
    fn next(
        &mut self,
        store: &dyn Store,
        location: Location,
        work: &mut Work,
    ) -> Result<(Vec<Found>, bool), StoreError> {
        let mut selected = Vec::new();
        if let Some(matching) = self.matching.take() {
            selected.extend(self.go_on_held(store, location, matching, work)?);
            // Other mutations that look into jobs may have waited for this job: to hold the next
            // one right away would keep them waiting until the end of the set.
            return Ok((selected, self.matching.is_none() && self.present.left == 0));
        }
        while !work.is_spent() {
            if self.present.left == 0 {
                return Ok((selected, true));
            }
            let found = sets::entries(store, &self.from, &keys::set_limit(location), READ_MAX)?;
            let is_last = found.len() < READ_MAX;
            for (key, entry) in found {
                if work.is_spent() {
                    return Ok((selected, false));
                }
                work.spend(1, entry.failure_bytes());
                self.from = keys::set(location, key).to_vec();
                self.from.push(0);
                if !self.present.holds(&entry) {
                    continue;
                }
                self.present.left = self.present.left.saturating_sub(1);
                let Some(mut matching) = self.begin(store, key, &entry, work)? else {
                    selected.push((key, entry));
                    continue;
                };
                match self.go_on(&mut matching, work) {
                    None => {
                        self.matching = Some(matching);
                        return Ok((selected, false));
                    }
                    Some(true) => selected.push((key, entry)),
                    Some(false) => {}
                }
            }
            if is_last {
                return Ok((selected, true));
            }
        }
        Ok((selected, false))
    }

    /// Reads on in the job that is held; its entry where the job is selected. The job is held on
    /// where the slice is over before that is known.
    fn go_on_held(
        &mut self,
        store: &dyn Store,
        location: Location,
        mut matching: Matching,
        work: &mut Work,
    ) -> Result<Option<Found>, StoreError> {
        match self.go_on(&mut matching, work) {
            None => self.matching = Some(matching),
            Some(false) => {}
            Some(true) => {
                // The entry may have been moved since the match began.
                let entry = store.get(Table::Sets, &keys::set(location, matching.key))?;
                let entry = entry.map(|entry| Entry::decode(&entry)).transpose()?;
                let entry = entry.filter(|entry| self.present.holds(entry));
                return Ok(entry.map(|entry| (matching.key, entry)));
            }
        }
        Ok(None)
    }

    /// Reads the text of a job; `None` where no filter asks for it.
    fn begin(
        &self,
        store: &dyn Store,
        key: EntryKey,
        entry: &Entry,
        work: &mut Work,
    ) -> Result<Option<Matching>, StoreError> {
        if self.job_type.is_none() && self.pattern.is_none() {
            return Ok(None);
        }
        // A job whose body is missing matches nothing, as it is treated as deleted.
        let body = store.get(Table::Bodies, &keys::body(entry.job))?;
        let body = body.unwrap_or_default();
        work.spend(0, body.len());
        Ok(Some(Matching {
            key,
            rest: entry.rest_of_document(),
            body,
            search: self.job_type.is_some().then(Search::default),
            progress: self.pattern.as_ref().map(Glob::begin),
        }))
    }

    /// Reads on in a job; the result where it is known before the slice is over.
    fn go_on(&self, matching: &mut Matching, work: &mut Work) -> Option<bool> {
        let Matching { body, rest, search, progress, .. } = matching;
        let Some((_, members)) = body.split_last() else { return Some(false) };
        if let (Some(searching), Some(job_type)) = (&mut *search, &self.job_type) {
            let before = searching.at();
            let result = searching.go_on(body, b"\"jobtype\":", work.bytes_left());
            work.spend(0, searching.at() - before);
            match result {
                Searched::Unfinished => return None,
                Searched::Absent => return Some(false),
                Searched::Found(at) => {
                    if !body.get(at..).is_some_and(|value| value.starts_with(job_type)) {
                        return Some(false);
                    }
                }
            }
            *search = None;
        }
        let (Some(progress), Some(pattern)) = (progress, &self.pattern) else {
            return Some(true);
        };
        let before = progress.at();
        let most = work.bytes_left() / pattern.cost_of_byte();
        let result = pattern.go_on(progress, [members, rest], most);
        work.spend(0, (progress.at() - before) * pattern.cost_of_byte());
        result
    }
}
