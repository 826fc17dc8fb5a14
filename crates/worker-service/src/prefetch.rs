//! How many FETCHes are to be on their way, and on which lane: Little's law, with bounds. Time
//! comes in as an argument.
//!
//! So much is fetched ahead as is consumed in two round trips, by the rate seen and by what the
//! handlers can take at the most; nothing while nothing is known. Long jobs shrink it to one.
//!
//! A FETCH on an empty queue waits for 2 s at the server, and those behind it on its lane wait for
//! it; what has been sent is carried out even when the connection is closed. So there is one FETCH
//! on a lane unless jobs flow, and never more than can be answered before the deadline of a
//! shutdown.

mod pace;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

use self::pace::{Rate, RoundTrip};
use crate::lanes_runtime::REST;

/// The longest that Faktory takes to answer a FETCH on an empty queue (measured: 2.0 to 2.1 s).
pub(crate) const EMPTY_FETCH: Duration = Duration::from_millis(2100);
/// Round trips' worth of jobs that are fetched ahead: one is under way, and the other shows whether
/// there is more.
const ROUND_TRIPS: f64 = 2.0;
/// A fourth of what is fetched ahead is asked for together, as far as one lane takes it: in one
/// write, where each would have its own (33 µs of processor time a job that does nothing against
/// 38).
const TOGETHER: usize = 4;
/// Jobs that take so many round trips are long: waiting for the next one costs a twentieth, and
/// nothing but one is fetched ahead.
const LONG: f64 = 20.0;
/// For jobs that take so many round trips, what the server has reserved for this worker is kept
/// under twice its places.
const SLOW: f64 = 5.0;
/// Nothing more is fetched while more is unacknowledged than so many times what may be fetched;
/// acks take a round trip too.
const UNACKNOWLEDGED: usize = 2;
const UNACKNOWLEDGED_AT_LEAST: usize = 100;
/// Each run counts so much for the time that a run takes.
const SERVICE_WEIGHT: f64 = 1.0 / 16.0;
/// The rate is looked at over so long, or a round trip if that is more.
const RATE_OVER: Duration = Duration::from_millis(100);
/// As deep as a lane is nearby, where the rate asks for no more: the server finds the next FETCH
/// when it has answered one, and after the queue has run dry a worker ends within two empty
/// FETCHes.
const NEAR_DEPTH: usize = 2;
/// A FETCH that was answered this soon did not wait for a job, whatever the round trip.
const AT_ONCE: Duration = Duration::from_millis(20);

/// What may not be exceeded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Jobs run at once.
    pub(crate) concurrency: usize,
    /// Jobs fetched, or asked for, and not running.
    pub(crate) prefetch: usize,
    /// Lanes.
    pub(crate) lanes: usize,
    /// FETCHes on one lane.
    pub(crate) depth: usize,
}

impl Limits {
    /// How deep a lane may be, so that all that is on it is answered within `time`, even where the
    /// queue is empty.
    pub(crate) fn depth_within(time: Duration) -> usize {
        ((time.as_secs_f64() / EMPTY_FETCH.as_secs_f64()) as usize).max(1)
    }
}

/// How jobs come on a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// The queue had a job at once: the lane may be deep.
    Flowing,
    /// Not known, or jobs come one by one.
    Waiting,
    /// There was nothing: the next FETCH goes out then, or when a job has come anywhere.
    Paused(Instant),
    /// The server could not: the next FETCH goes out then.
    Refused(Instant),
}

#[derive(Debug, Clone)]
struct Lane {
    /// It is wanted: it connects.
    wanted: bool,
    /// It has a connection.
    connected: bool,
    /// FETCHes on their way, with those that may be sent and have not been yet.
    fetches: usize,
    /// Those that may be sent.
    granted: usize,
    flow: Flow,
    /// When its last answer came.
    answered: Option<Instant>,
}

/// What is known and what is on its way.
#[derive(Debug)]
pub(crate) struct Prefetch {
    limits: Limits,
    poll_interval: Duration,
    lanes: Vec<Lane>,
    /// False once nothing more is to be fetched.
    may_fetch: bool,
    fetches: usize,
    buffered: usize,
    running: usize,
    /// Seconds that a run takes, smoothed.
    service: Option<f64>,
    rate: Rate,
    round_trip: RoundTrip,
}

impl Prefetch {
    pub(crate) fn new(limits: Limits, poll_interval: Duration) -> Self {
        let lane = Lane {
            wanted: false,
            connected: false,
            fetches: 0,
            granted: 0,
            flow: Flow::Waiting,
            answered: None,
        };
        Self {
            limits,
            poll_interval,
            lanes: vec![lane; limits.lanes.max(1)],
            may_fetch: true,
            fetches: 0,
            buffered: 0,
            running: 0,
            service: None,
            rate: Rate::default(),
            round_trip: RoundTrip::default(),
        }
    }

    /// Jobs that may be fetched beyond those that have a place to run.
    fn ahead(&self, now: Instant) -> usize {
        let (Some(service), Some(round_trip)) = (self.service, self.round_trip.seconds(now)) else {
            return 0;
        };
        let most = self.limits.concurrency as f64 / service.max(1e-6);
        let jobs = ROUND_TRIPS * round_trip * self.rate.greatest(now).min(most);
        let jobs = if service >= LONG * round_trip {
            jobs.min(1.0)
        } else if service <= round_trip {
            // Such jobs wait for nothing but the server: while it works for one half, the other is
            // on its way.
            jobs.max(self.limits.concurrency as f64)
        } else {
            jobs
        };
        (jobs.ceil() as usize).min(self.limits.prefetch)
    }

    /// FETCHes that may be sent now, lanes aside.
    fn room(&self, unacknowledged: usize, now: Instant) -> usize {
        if !self.may_fetch {
            return 0;
        }
        let held = self.running + self.buffered + self.fetches;
        let target = self.limits.concurrency + self.ahead(now);
        // Where the server takes no acks, it is given no reason for more.
        if unacknowledged > UNACKNOWLEDGED * target + UNACKNOWLEDGED_AT_LEAST {
            return 0;
        }
        let room = target.saturating_sub(held);
        let is_slow = self
            .service
            .zip(self.round_trip.seconds(now))
            .is_some_and(|(service, round_trip)| service >= SLOW * round_trip);
        if is_slow {
            room.min((2 * self.limits.concurrency).saturating_sub(held + unacknowledged))
        } else {
            room
        }
    }

    /// How deep a lane may be now. A worker with deep ones takes long to end, and nearby lanes in
    /// number are enough: there each is only as deep as the rate asks for over the way itself,
    /// which a busy server does not lengthen.
    fn depth(&self, now: Instant) -> usize {
        let most = self.limits.depth;
        let way = match self.round_trip.way() {
            Some(way) if way >= AT_ONCE => return most,
            Some(way) => way,
            None => Duration::ZERO,
        };
        let under_way = ROUND_TRIPS * self.rate.greatest(now) * (way + REST).as_secs_f64();
        // Lanes that are still to be had come before depth; those that the server does not grant
        // can't.
        let more_to_come = self.lanes.iter().any(|lane| !lane.wanted);
        let lanes = self.lanes.iter().filter(|lane| lane.connected || more_to_come).count().max(1);
        ((under_way / lanes as f64).ceil() as usize).max(NEAR_DEPTH).min(most)
    }

    /// Gives FETCHes to lanes, the ones with the fewest first, and wants more lanes rather than
    /// deep ones. `wake` is called with each lane that has something to do now.
    pub(crate) fn grant(
        &mut self,
        unacknowledged: usize,
        now: Instant,
        mut wake: impl FnMut(usize),
    ) {
        let mut room = self.room(unacknowledged, now);
        let depth = self.depth(now);
        let together = (self.ahead(now) / TOGETHER).clamp(1, depth);
        if room < together {
            return;
        }
        let most = |lane: &Lane| match lane.flow {
            Flow::Flowing => depth,
            Flow::Waiting => 1,
            Flow::Paused(_) | Flow::Refused(_) => 0,
        };
        let mut more_wanted = false;
        while room > 0 {
            let can_take = |lane: &Lane| lane.connected && lane.fetches < most(lane);
            let fewest =
                self.lanes.iter().filter(|lane| can_take(lane)).map(|lane| lane.fetches).min();
            if !more_wanted && fewest != Some(0) {
                self.want_more(room, &mut wake);
                more_wanted = true;
            }
            let Some(fewest) = fewest else { break };
            for (number, lane) in self.lanes.iter_mut().enumerate() {
                if room > 0 && lane.fetches == fewest && can_take(lane) {
                    let fetches = together.min(room).min(most(lane) - lane.fetches);
                    lane.fetches += fetches;
                    lane.granted += fetches;
                    self.fetches += fetches;
                    room -= fetches;
                    wake(number);
                }
            }
        }
    }

    /// Has so many more lanes connected; those that are being connected already will take one FETCH
    /// each.
    fn want_more(&mut self, fetches: usize, wake: &mut impl FnMut(usize)) {
        let coming = self.lanes.iter().filter(|lane| lane.wanted && !lane.connected).count();
        let unwanted = self.lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.wanted);
        for (number, lane) in unwanted.take(fetches.saturating_sub(coming)) {
            lane.wanted = true;
            wake(number);
        }
    }

    /// True where this lane is to have a connection.
    pub(crate) fn is_wanted(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.wanted)
    }

    /// The lane has a connection, whose handshake took so long.
    pub(crate) fn connected(&mut self, lane: usize, distance: Duration) {
        let is_only = !self.lanes.iter().any(|lane| lane.connected);
        self.round_trip.note_distance(distance, is_only);
        if let Some(lane) = self.lanes.get_mut(lane) {
            (lane.connected, lane.flow, lane.answered) = (true, Flow::Waiting, None);
        }
    }

    /// The lane has no connection any more.
    pub(crate) fn disconnected(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            self.fetches -= lane.fetches;
            (lane.connected, lane.fetches, lane.granted) = (false, 0, 0);
        }
    }

    /// No further FETCH on this lane; those that are out are still answered.
    pub(crate) fn retire(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            self.fetches -= lane.granted;
            lane.fetches -= lane.granted;
            (lane.connected, lane.granted) = (false, 0);
        }
    }

    /// How many FETCHes this lane may send now.
    pub(crate) fn take_granted(&mut self, lane: usize) -> usize {
        self.lanes.get_mut(lane).map_or(0, |lane| std::mem::take(&mut lane.granted))
    }

    /// A FETCH that was sent then has brought a job, which waits for a place now.
    pub(crate) fn brought_job(&mut self, lane: usize, sent: Instant, now: Instant) {
        let round_trip =
            self.round_trip.seconds(now).map_or(Duration::ZERO, Duration::from_secs_f64);
        let mut flows = false;
        if let Some(lane) = self.lanes.get(lane) {
            // Since the one before it was answered, or it arrived, whichever is later.
            let waiting_since =
                lane.answered.map_or(sent + round_trip, |answered| answered.max(sent + round_trip));
            flows = now.saturating_duration_since(waiting_since) <= round_trip.max(AT_ONCE);
        }
        self.answered(lane, if flows { Flow::Flowing } else { Flow::Waiting }, now);
        self.buffered += 1;
        if flows {
            self.round_trip.note(now.duration_since(sent).as_secs_f64(), now);
        }
        // There is something: the others need not wait any longer.
        for lane in &mut self.lanes {
            if matches!(lane.flow, Flow::Paused(_)) {
                lane.flow = Flow::Waiting;
            }
        }
    }

    /// A FETCH has found the queue empty: all lanes but the first pause.
    pub(crate) fn brought_nothing(&mut self, lane: usize, now: Instant) {
        let first = self.lanes.iter().position(|lane| lane.connected);
        let flow = if first == Some(lane) {
            Flow::Waiting
        } else {
            Flow::Paused(now + self.poll_interval)
        };
        self.answered(lane, flow, now);
    }

    /// A FETCH was answered with an error: the lane pauses.
    pub(crate) fn was_refused(&mut self, lane: usize, until: Instant) {
        self.answered(lane, Flow::Refused(until), until);
    }

    fn answered(&mut self, lane: usize, flow: Flow, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            (lane.flow, lane.answered) = (flow, Some(now));
            lane.fetches -= 1;
            self.fetches -= 1;
        }
    }

    /// Until when this lane pauses.
    pub(crate) fn paused_until(&self, lane: usize) -> Option<Instant> {
        match self.lanes.get(lane)?.flow {
            Flow::Paused(until) | Flow::Refused(until) => Some(until),
            Flow::Flowing | Flow::Waiting => None,
        }
    }

    /// The lane's pause is over.
    pub(crate) fn pause_ended(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.flow = Flow::Waiting;
        }
    }

    /// A job that waited has got a place.
    pub(crate) fn begun(&mut self) {
        self.buffered -= 1;
        self.running += 1;
    }

    /// A job that waited is requeued.
    pub(crate) fn requeued(&mut self) {
        self.buffered -= 1;
    }

    /// A run has ended; `took` where it says how long runs take.
    pub(crate) fn ended(&mut self, took: Option<Duration>, now: Instant) {
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
    }

    /// Jobs take at least so long, though none has ended to show it.
    pub(crate) fn takes_at_least(&mut self, time: Duration) {
        self.service = Some(
            self.service.map_or(time.as_secs_f64(), |service| service.max(time.as_secs_f64())),
        );
    }

    /// Nothing more is to be fetched. FETCHes that were granted and not sent are taken back.
    pub(crate) fn stop(&mut self) {
        self.may_fetch = false;
        for lane in &mut self.lanes {
            self.fetches -= lane.granted;
            lane.fetches -= lane.granted;
            lane.granted = 0;
        }
    }

    /// Runs that ended, a second, at the best of late.
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

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) running: usize,
    /// Fetched and not running.
    pub(crate) buffered: usize,
    /// FETCHes on their way: jobs that a cut of the link could leave reserved for nobody.
    pub(crate) fetches: usize,
    /// Lanes with a connection.
    pub(crate) lanes: usize,
}
