//! The end of a reservation: ACK, FAIL, or its time runs out.

use std::time::Duration;

use faktory_wire::{Excerpt, FailReport, Failure, Reply, Timestamp};

use super::backoff::backoff;
use super::edit::Edit;
use super::index::{Found, oldest_reservation};
use super::keys::{self, EntryKey, Location};
use super::records::Entry;
use super::{Machine, Now};
use crate::store::{Store, StoreError, Table};

/// The time for which a dead job is kept.
pub(super) const DEAD_FOR: Duration = Duration::from_secs(180 * 24 * 60 * 60);

impl Machine {
    /// An ACK for an unknown job is answered with OK, because a client that missed the answer sends
    /// its ACK again.
    pub(super) fn ack(&mut self, store: &mut dyn Store, jid: &str) -> Result<Reply, StoreError> {
        let Some((key, entry)) = oldest_reservation(store, jid)? else {
            return self.ack_returned(store, jid);
        };
        let mut edit = Edit::default();
        self.take_out(&mut edit, Location::Working, key, &entry);
        edit.batch.delete(Table::Bodies, keys::body(entry.job));
        self.counters.processed += 1;
        self.unsynced = true;
        self.commit(store, edit)?;
        Ok(Reply::OK)
    }

    pub(super) fn fail(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        report: FailReport,
    ) -> Result<Reply, StoreError> {
        let Some((key, entry)) = oldest_reservation(store, &report.jid)? else {
            return Ok(Reply::error(format_args!("Job not found {}", Excerpt(&report.jid))));
        };
        let mut edit = Edit::default();
        self.take_out(&mut edit, Location::Working, key, &entry);
        self.failed(&mut edit, now, entry, report.within_limits());
        self.unsynced = true;
        self.commit(store, edit)?;
        Ok(Reply::OK)
    }

    /// Ends reservations whose time has run out; each counts as a failure of its job.
    pub(super) fn expire_reservations(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        due: Vec<Found>,
    ) -> Result<(), StoreError> {
        let mut edit = Edit::default();
        for (key, entry) in due {
            self.take_out(&mut edit, Location::Working, key, &entry);
            let report = FailReport {
                errtype: "ReservationExpired".into(),
                message: "Faktory job reservation expired".into(),
                ..FailReport::default()
            };
            self.failed(&mut edit, now, entry, report);
            self.counts.expired += 1;
        }
        self.commit(store, edit)
    }

    /// Decides what becomes of a failed job: it is tried again later, moved to the dead set, or
    /// deleted where its `retry` is 0.
    fn failed(&mut self, edit: &mut Edit, now: Now, mut entry: Entry, report: FailReport) {
        self.counters.processed += 1;
        self.counters.failures += 1;
        if entry.retry == 0 {
            edit.batch.delete(Table::Bodies, keys::body(entry.job));
            return;
        }
        let mut failure = next_failure(entry.failure.take(), report, entry.retry, now.wall);
        let (location, due) = if failure.retry_count < entry.retry {
            let due = now.wall.plus(backoff(failure.retry_count, &mut self.random));
            failure.next_at = due.to_string();
            (Location::Retries, due)
        } else {
            (Location::Dead, now.wall.plus(DEAD_FOR))
        };
        let key = EntryKey { due, number: entry.job };
        entry.failure = Some(failure);
        entry.position = self.counters.number();
        self.put_into(edit, location, key, &entry);
    }
}

/// The failure record of a job after one more failure.
fn next_failure(
    before: Option<Failure>,
    report: FailReport,
    retry: i64,
    now: Timestamp,
) -> Failure {
    let counted = match before {
        Some(before) => Failure {
            retry_count: before.retry_count.saturating_add(1),
            remaining: if before.remaining > 0 { before.remaining - 1 } else { before.remaining },
            ..before
        },
        None => Failure { failed_at: now.to_string(), remaining: retry, ..Failure::default() },
    };
    let FailReport { errtype, message, backtrace, jid: _ } = report;
    Failure { errtype, message, backtrace, ..counted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_record_counts_retries_and_keeps_the_first_time_and_the_last_report() {
        let report = |message: &str| FailReport { message: message.into(), ..Default::default() };
        let (early, late) = (Timestamp::from_micros(1), Timestamp::from_micros(2));
        let first = next_failure(None, report("first"), 2, early);
        assert_eq!((first.retry_count, first.remaining), (0, 2));
        let second = next_failure(Some(first), report("second"), 2, late);
        assert_eq!((second.retry_count, second.remaining), (1, 1));
        assert_eq!((second.failed_at, second.message), (early.to_string(), "second".into()));
    }

    #[test]
    fn the_remaining_retries_never_go_below_their_start_or_zero() {
        for (retry, remaining) in [(-1, -1), (1, 0)] {
            let mut failure =
                next_failure(None, FailReport::default(), retry, Timestamp::default());
            for _ in 0..3 {
                let report = FailReport::default();
                failure = next_failure(Some(failure), report, retry, Timestamp::default());
            }
            assert_eq!((failure.retry_count, failure.remaining), (3, remaining));
        }
    }
}
