//! The counts and latencies of a load, added up over its clients.

use tokio::task::JoinSet;

use crate::measure::Latencies;
use crate::part::order::note_at;
use crate::part::poster::Posted;

/// The most errors that are kept.
const ERRORS: usize = 5;
/// The most latencies that are reported one by one.
const EACH: usize = 1000;

/// The counts and latencies that one client of the load has seen, or all clients together.
#[derive(Default)]
pub(super) struct Tally {
    /// Latencies of measured requests of which at least one job was stored.
    pub(super) latencies: Latencies,
    /// The delay of requests that the generator itself caused.
    pub(super) generator_late: Latencies,
    /// Jobs that count.
    pub(super) jobs: u64,
    /// Jobs by their outcome, warm-up included.
    pub(super) stored: u64,
    pub(super) unknown: u64,
    pub(super) not_stored: u64,
    pub(super) errors: Vec<String>,
    /// The latency of each request, in a load of a number of jobs.
    pub(super) each_us: Vec<u64>,
    /// Latencies of measured requests of which no job was stored.
    pub(super) refused: Latencies,
    /// The different reasons of these requests.
    pub(super) reasons: Vec<String>,
    pub(super) timeline: Vec<u64>,
}

impl Tally {
    /// Notes the latency of a measured request.
    pub(super) fn took(&mut self, posted: &Posted, us: u64) {
        if posted.stored > 0 {
            return self.latencies.record(us);
        }
        self.refused.record(us);
        let reason = posted.error.as_deref().unwrap_or_default();
        let reason =
            reason.split(|letter: char| letter.is_ascii_digit()).next().unwrap_or_default();
        if self.reasons.len() < ERRORS && self.reasons.iter().all(|known| known != reason) {
            self.reasons.push(reason.into());
        }
    }

    /// Counts the jobs of a request by their outcome, measured or not.
    pub(super) fn add_posted(&mut self, posted: Posted) {
        self.stored += posted.stored;
        self.unknown += posted.unknown;
        self.not_stored += posted.not_stored;
        self.errors.extend(posted.error);
        self.errors.truncate(ERRORS);
    }

    /// Counts jobs at a time of the measured window, in microseconds from its beginning.
    pub(super) fn count_at(&mut self, us: u64, jobs: u64) {
        self.jobs += jobs;
        note_at(&mut self.timeline, us, jobs);
    }

    /// Counts the jobs of a request, with the request's latency.
    pub(super) fn count(&mut self, jobs: u64, took_us: u64) {
        self.jobs += jobs;
        self.latencies.record(took_us);
        if self.each_us.len() < EACH {
            self.each_us.push(took_us);
        }
    }

    /// Adds the counts of a warm-up: its jobs must arrive too, and count for nothing else.
    pub(super) fn add_warm_up(&mut self, warm_up: Self) {
        self.stored += warm_up.stored;
        self.unknown += warm_up.unknown;
        self.not_stored += warm_up.not_stored;
        self.errors.extend(warm_up.errors);
    }

    /// Waits for all clients, and adds up their tallies.
    pub(super) async fn join(mut running: JoinSet<Self>) -> Self {
        let mut all = Self::default();
        while let Some(result) = running.join_next().await {
            match result {
                Ok(tally) => all.add(tally),
                Err(error) => all.errors.push(error.to_string()),
            }
        }
        all
    }

    fn add(&mut self, other: Self) {
        self.latencies.add(&other.latencies);
        self.refused.add(&other.refused);
        self.reasons.extend(other.reasons);
        self.reasons.sort_unstable();
        self.reasons.dedup();
        self.generator_late.add(&other.generator_late);
        self.jobs += other.jobs;
        self.timeline.resize(self.timeline.len().max(other.timeline.len()), 0);
        self.timeline.iter_mut().zip(other.timeline).for_each(|(all, jobs)| *all += jobs);
        self.each_us.extend(other.each_us);
        self.each_us.truncate(EACH);
        self.stored += other.stored;
        self.unknown += other.unknown;
        self.not_stored += other.not_stored;
        self.errors.extend(other.errors);
        self.errors.truncate(ERRORS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(why: &str) -> Posted {
        Posted { not_stored: 1, error: Some(why.into()), ..Posted::default() }
    }

    #[test]
    fn refusals_are_told_apart_by_their_reason_up_to_its_first_figure() {
        let mut tally = Tally::default();
        tally.took(&refused("too many jobs wait: 12"), 5);
        tally.took(&refused("too many jobs wait: 13"), 5);
        tally.took(&refused("the circuit is open"), 5);
        tally.took(&Posted { stored: 1, ..Posted::default() }, 7);
        assert_eq!(tally.reasons, ["too many jobs wait: ", "the circuit is open"]);
        assert_eq!((tally.refused.summary().count, tally.latencies.summary().count), (3, 1));
    }

    #[test]
    fn the_tallies_of_two_clients_add_up() {
        let (mut one, mut other) = (Tally::default(), Tally::default());
        one.count_at(0, 2);
        other.count_at(300_000, 3);
        other.add_posted(refused("no"));
        one.add(other);
        assert_eq!((one.jobs, one.not_stored, one.timeline), (5, 1, vec![2, 3]));
    }

    #[test]
    fn a_warm_up_adds_outcomes_and_no_measured_jobs() {
        let (mut tally, mut warm_up) = (Tally::default(), Tally::default());
        warm_up.count(10, 1);
        warm_up.add_posted(Posted { stored: 10, ..Posted::default() });
        tally.add_warm_up(warm_up);
        assert_eq!((tally.jobs, tally.stored, tally.latencies.summary().count), (0, 10, 0));
    }
}
