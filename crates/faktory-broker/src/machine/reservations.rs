//! The time of reservations. While the broker runs, reservations end by the monotonic clock, so
//! that a wall clock that is set ends none of them early and keeps none of them longer. The store
//! knows wall times only; here is how the two meet.

use std::time::Duration;

use faktory_wire::Timestamp;

use super::edit::Edit;
use super::fetch::reserved_for;
use super::keys::{self, EntryKey, Location};
use super::{Machine, Now};
use crate::store::{Store, StoreError, Table};

/// The clock of reservations: the wall time at one moment, and from there on the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct ReservationClock {
    started: Option<Now>,
}

impl ReservationClock {
    /// The time of this clock when the monotonic clock says `monotonic`. The first call starts the
    /// clock at `now`.
    pub(super) fn at(&mut self, now: Now, monotonic: Duration) -> Timestamp {
        let started = self.started.get_or_insert(now);
        started.wall.plus(monotonic.saturating_sub(started.monotonic))
    }

    /// The time that is left until `due`.
    pub(super) fn until(&self, now: Now, due: Timestamp) -> Duration {
        let started = self.started.unwrap_or(now);
        due.since(started.wall.plus(now.monotonic.saturating_sub(started.monotonic)))
    }
}

/// The reservations that an earlier process has left in the store.
#[derive(Debug)]
pub(super) enum LeftBehind {
    /// Reservations from this key on have not been looked at.
    From(Vec<u8>),
    /// All have been looked at.
    Checked,
}

impl Machine {
    /// When a reservation that begins now is over. While no job is reserved, the clock of
    /// reservations is started again at the wall time: what the store says then agrees with the
    /// wall clock, which alone counts over a restart.
    pub(super) fn reservation_end(&mut self, now: Now, reserve_for: u32) -> Timestamp {
        if self.counters.sets.working == 0 {
            self.reservation_clock = ReservationClock::default();
        }
        self.reservation_clock.at(now, now.monotonic).plus(reserved_for(reserve_for))
    }

    /// Shortens reservations of an earlier process to at most their full time from now on. Where
    /// the wall clock was set back, they would last longer by as much. True where more are left to
    /// look at.
    pub(super) fn advance_left_behind(
        &mut self,
        store: &mut dyn Store,
        now: Now,
    ) -> Result<bool, StoreError> {
        let LeftBehind::From(from) = &self.left_behind else { return Ok(false) };
        let (from, to) = (from.clone(), keys::set_limit(Location::Working));
        self.work.begin();
        let (found, more) = self.entries_of_slice(store, Location::Working, from, &to)?;
        let time = self.reservation_clock.at(now, now.monotonic);
        self.left_behind = match found.last() {
            Some((last, _)) if more => {
                let next = EntryKey { number: last.number.saturating_add(1), ..*last };
                LeftBehind::From(keys::set(Location::Working, next).to_vec())
            }
            _ => LeftBehind::Checked,
        };
        let mut edit = Edit::default();
        for (key, entry) in found {
            let due = time.plus(reserved_for(entry.reserve_for));
            if key.due > due {
                // The entry of the index is written over: its key has no time in it.
                edit.batch.delete(Table::Sets, keys::set(Location::Working, key));
                let index = keys::index(Location::Working, &entry.id, key.number);
                edit.batch.delete(Table::Index, index);
                let earlier = EntryKey { due, ..key };
                self.put_into(&mut edit, Location::Working, earlier, &entry);
                self.counters.sets.working = self.counters.sets.working.saturating_sub(1);
            }
        }
        self.commit(store, edit)?;
        Ok(self.has_left_behind())
    }

    /// True until all reservations of an earlier process have been looked at.
    pub(super) const fn has_left_behind(&self) -> bool {
        matches!(self.left_behind, LeftBehind::From(_))
    }

    /// The time until a reservation is over; `None` where no job is reserved.
    pub(super) fn next_expiry(&self, now: Now) -> Option<Duration> {
        self.timers.first(Location::Working).map(|key| self.reservation_clock.until(now, key.due))
    }

    /// True where a reservation is over.
    pub(super) fn has_expired(&mut self, store: &dyn Store, now: Now) -> Result<bool, StoreError> {
        let time = self.reservation_clock.at(now, now.monotonic);
        let is_over = |machine: &Self| {
            machine.timers.first(Location::Working).is_some_and(|key| key.due <= time)
        };
        if is_over(self) {
            // The job of this time may have been acknowledged long ago.
            self.find_first(store, Location::Working)?;
        }
        Ok(is_over(self))
    }

    /// Ends a bounded part of the reservations that were over at `as_of`; true where more may be.
    pub(super) fn expire(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        as_of: Duration,
    ) -> Result<bool, StoreError> {
        let until = self.reservation_clock.at(now, as_of);
        self.advance_set(store, now, Location::Working, until)
    }
}
