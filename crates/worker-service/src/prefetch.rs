//! The prefetch: how many FETCHes are to be in flight, and on which lane. By Little's law, with
//! bounds. Time comes in as an argument.
//!
//! As many jobs are fetched ahead as are consumed in two round trips, by the rate seen and by what
//! the handlers can take at the most; none while nothing is known. Long jobs shrink this to one;
//! of jobs shorter than a round trip there are at least those of two milliseconds.
//!
//! A FETCH on an empty queue waits for 2 s at the server, and the FETCHes behind it on its lane
//! wait for it; a FETCH that has been sent is carried out even when the connection is closed. So
//! there is one FETCH on a lane unless jobs flow, and never more than can be answered before the
//! deadline of a shutdown.
//!
//! What happens is noted in this file; the decision is in `prefetch/grant.rs`.

mod grant;
mod lane;
mod limits;
mod pace;
#[cfg(test)]
mod tests;

use std::time::Duration;

use faktory_wire::FETCH_JOBS_MAX;
use tokio::time::Instant;

use self::lane::{Lane, LaneState};
pub(crate) use self::limits::Limits;
use self::pace::{Rate, RoundTrip};

/// The weight of one run in the smoothed time that a run takes.
const SERVICE_WEIGHT: f64 = 1.0 / 16.0;
/// The rate is measured over this time, or over a round trip if that is longer.
const RATE_OVER: Duration = Duration::from_millis(100);
/// A longer time is none of the way: a lane is given up before that, unless this process was
/// stopped.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(10);
/// A FETCH that was answered this soon did not wait for a job, whatever the round trip.
const AT_ONCE: Duration = Duration::from_millis(20);

/// What is known of the jobs and of the way, and the FETCHes of each lane.
#[derive(Debug)]
pub(crate) struct Prefetch {
    limits: Limits,
    poll_interval: Duration,
    lanes: Vec<Lane>,
    /// False once nothing more is to be fetched.
    may_fetch: bool,
    /// True while the jobs that are here take all the memory.
    is_full: bool,
    fetches: usize,
    buffered: usize,
    running: usize,
    /// Runs that have to end before so many FETCHes may be sent as go out together.
    ends_to_grant: usize,
    /// Seconds that a run takes, smoothed.
    service: Option<f64>,
    rate: Rate,
    round_trip: RoundTrip,
}

impl Prefetch {
    pub(crate) fn new(limits: Limits, poll_interval: Duration) -> Self {
        Self {
            limits,
            poll_interval,
            lanes: vec![Lane::NEW; limits.lanes.max(1)],
            may_fetch: true,
            is_full: false,
            fetches: 0,
            buffered: 0,
            running: 0,
            ends_to_grant: 0,
            service: None,
            rate: Rate::default(),
            round_trip: RoundTrip::default(),
        }
    }

    /// True where the lane is to have a connection.
    pub(crate) fn is_wanted(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.wanted)
    }

    /// Notes that the lane has a connection; `distance` is the time of its handshake. `takes_many`:
    /// the server takes one command for many jobs.
    pub(crate) fn connected(&mut self, lane: usize, distance: Duration, takes_many: bool) {
        let is_only = !self.lanes.iter().any(|lane| lane.connected);
        self.round_trip.note_distance(distance, is_only);
        if let Some(lane) = self.lanes.get_mut(lane) {
            (lane.connected, lane.state, lane.answered) = (true, LaneState::Waiting, None);
            lane.takes_many = takes_many;
        }
    }

    /// Notes that the lane has no connection any more.
    pub(crate) fn disconnected(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            self.fetches -= lane.fetches;
            (lane.connected, lane.fetches, lane.granted) = (false, 0, 0);
            lane.commands = 0;
        }
    }

    /// Sends no further FETCH on this lane; the FETCHes in flight are still answered.
    pub(crate) fn retire(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            self.fetches -= lane.granted;
            lane.fetches -= lane.granted;
            (lane.connected, lane.granted) = (false, 0);
        }
    }

    /// Takes the FETCHes that the lane may send now.
    pub(crate) fn take_granted(&mut self, lane: usize) -> usize {
        let Some(lane) = self.lanes.get_mut(lane) else { return 0 };
        if lane.takes_many {
            lane.commands += lane.granted.div_ceil(FETCH_JOBS_MAX);
        }
        std::mem::take(&mut lane.granted)
    }

    /// Notes that a FETCH, sent at `sent`, has brought jobs, which wait for a slot now: `brought`
    /// of the `asked`.
    pub(crate) fn brought_jobs(
        &mut self,
        lane: usize,
        (asked, brought): (usize, usize),
        sent: Instant,
        now: Instant,
    ) {
        let round_trip =
            self.round_trip.seconds(now).map_or(Duration::ZERO, Duration::from_secs_f64);
        let mut flows = false;
        if let Some(lane) = self.lanes.get(lane) {
            // Since the FETCH before it was answered, or since it arrived, whichever is later.
            let waiting_since =
                lane.answered.map_or(sent + round_trip, |answered| answered.max(sent + round_trip));
            flows = now.saturating_duration_since(waiting_since) <= round_trip.max(AT_ONCE);
        }
        let state = if flows { LaneState::Flowing } else { LaneState::Waiting };
        self.answered(lane, asked, state, now);
        self.buffered += brought;
        let took = now.duration_since(sent);
        if flows && took < ROUND_TRIP_MAX {
            self.round_trip.note(took.as_secs_f64(), now);
        }
        // The queue is not empty: the other lanes need not wait any longer.
        for lane in &mut self.lanes {
            if matches!(lane.state, LaneState::Paused(_)) {
                lane.state = LaneState::Waiting;
            }
        }
    }

    /// Notes that a FETCH has found the queue empty: all lanes but the first pause.
    pub(crate) fn brought_nothing(&mut self, lane: usize, asked: usize, now: Instant) {
        let first = self.lanes.iter().position(|lane| lane.connected);
        let state = if first == Some(lane) {
            LaneState::Waiting
        } else {
            LaneState::Paused(now + self.poll_interval)
        };
        self.answered(lane, asked, state, now);
    }

    /// Notes that a FETCH was answered with an error: the lane pauses.
    pub(crate) fn was_refused(&mut self, lane: usize, asked: usize, until: Instant) {
        self.answered(lane, asked, LaneState::Refused(until), until);
    }

    fn answered(&mut self, lane: usize, asked: usize, state: LaneState, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            (lane.state, lane.answered) = (state, Some(now));
            lane.fetches -= asked;
            lane.commands -= usize::from(lane.takes_many);
            self.fetches -= asked;
        }
    }

    /// Until when the lane pauses; none where it does not.
    pub(crate) fn paused_until(&self, lane: usize) -> Option<Instant> {
        match self.lanes.get(lane)?.state {
            LaneState::Paused(until) | LaneState::Refused(until) => Some(until),
            LaneState::Flowing | LaneState::Waiting => None,
        }
    }

    /// Notes that the lane's pause is over.
    pub(crate) fn pause_ended(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.state = LaneState::Waiting;
        }
    }

    /// Notes whether the jobs that are here take all the memory.
    pub(crate) fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
    }

    /// Notes that a job that waited has got a slot.
    pub(crate) fn begun(&mut self) {
        self.buffered -= 1;
        self.running += 1;
    }

    /// Notes that a job that waited is requeued.
    pub(crate) fn requeued(&mut self) {
        self.buffered -= 1;
    }

    /// Notes that a run has ended; `took` where the run says how long runs take. True where nothing
    /// is to be granted for it: more of those have to end that are asked for together.
    pub(crate) fn ended(&mut self, took: Option<Duration>, now: Instant) -> bool {
        self.running -= 1;
        if let Some(took) = took {
            let took = took.as_secs_f64();
            self.service = Some(
                self.service.map_or(took, |service| service + (took - service) * SERVICE_WEIGHT),
            );
            let over = RATE_OVER
                .max(self.round_trip.seconds(now).map_or(Duration::ZERO, Duration::from_secs_f64));
            self.rate.note(over, now);
        }
        self.ends_to_grant = self.ends_to_grant.saturating_sub(1);
        self.ends_to_grant > 0 && !self.is_full
    }

    /// Notes that jobs take at least this time, though none has ended to show it.
    pub(crate) fn takes_at_least(&mut self, time: Duration) {
        self.service = Some(
            self.service.map_or(time.as_secs_f64(), |service| service.max(time.as_secs_f64())),
        );
    }

    /// Fetches nothing more. FETCHes that were granted and not sent are taken back.
    pub(crate) fn stop(&mut self) {
        self.may_fetch = false;
        for lane in &mut self.lanes {
            self.fetches -= lane.granted;
            lane.fetches -= lane.granted;
            lane.granted = 0;
        }
    }

    /// Runs that ended, a second: the maximum of the present period and the last one.
    pub(crate) fn rate(&self, now: Instant) -> f64 {
        self.rate.greatest(now)
    }

    pub(crate) fn service(&self) -> Option<Duration> {
        self.service.map(Duration::from_secs_f64)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            running: self.running,
            buffered: self.buffered,
            fetches: self.fetches,
            lanes: self.lanes.iter().filter(|lane| lane.connected).count(),
        }
    }
}

/// The jobs of a worker at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) running: usize,
    /// Jobs fetched and not running.
    pub(crate) buffered: usize,
    /// FETCHes in flight: jobs that a cut of the link could leave reserved for nobody.
    pub(crate) fetches: usize,
    /// Lanes with a connection.
    pub(crate) lanes: usize,
}
