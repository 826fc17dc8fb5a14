//! The decision of the prefetch: how many FETCHes may be sent now, and on which lane.

use std::time::Duration;

use faktory_wire::FETCH_JOBS_MAX;
use tokio::time::Instant;

use super::lane::Lane;
use super::{AT_ONCE, Prefetch};
use crate::lanes_runtime::REST;

/// Round trips' worth of jobs that are fetched ahead: one is in flight, and the other shows whether
/// there is more.
const ROUND_TRIPS: f64 = 2.0;
/// Jobs that take less than a round trip are fetched ahead for this time at least: nearby, to wake
/// the other side and be woken by it takes longer than the way. Measured on two cores with jobs
/// that do nothing: 21,600 jobs/s without it, 59,000 with 1 ms, 60,000 to 65,000 with 2 to 8 ms.
const AT_LEAST: Duration = Duration::from_millis(2);
/// A fourth of what is fetched ahead is asked for together, as far as one lane takes it: in one
/// write, where each FETCH would have its own (33 µs of processor time for a job that does nothing,
/// against 38).
const TOGETHER: usize = 4;
/// A job that takes this many round trips is long: to wait for the next job costs a twentieth, and
/// only one job is fetched ahead.
const LONG: f64 = 20.0;
/// For jobs that take this many round trips, the number of jobs that the server has reserved for
/// this worker is kept under twice its slots.
const SLOW: f64 = 5.0;
/// Nothing more is fetched while the unacknowledged jobs are more than this many times the jobs
/// that may be fetched; acks take a round trip too.
const UNACKNOWLEDGED: usize = 2;
const UNACKNOWLEDGED_AT_LEAST: usize = 100;
/// The depth of a nearby lane, where the rate asks for no more: the server finds the next FETCH
/// when it has answered one, and after the queue has run dry a worker ends within two empty
/// FETCHes.
const NEAR_DEPTH: usize = 2;

impl Prefetch {
    /// Jobs that may be fetched beyond those that have a slot.
    pub(super) fn ahead(&self, now: Instant) -> usize {
        let (Some(service), Some(round_trip)) = (self.service, self.round_trip.seconds(now)) else {
            return 0;
        };
        let most = self.limits.concurrency as f64 / service.max(1e-6);
        let rate = self.rate.greatest(now).min(most);
        let jobs = ROUND_TRIPS * round_trip * rate;
        let jobs = if service >= LONG * round_trip {
            jobs.min(1.0)
        } else if service <= round_trip {
            // Such jobs wait for nothing but the server: while it works for one half, the other
            // half is in flight.
            jobs.max(self.limits.concurrency as f64).max(AT_LEAST.as_secs_f64() * rate)
        } else {
            jobs
        };
        (jobs.ceil() as usize).min(self.limits.prefetch)
    }

    /// FETCHes that may be sent now, lanes aside.
    pub(super) fn room(&self, unacknowledged: usize, now: Instant) -> usize {
        if !self.may_fetch || self.is_full {
            return 0;
        }
        let held = self.running + self.buffered + self.fetches;
        let target = self.limits.concurrency + self.ahead(now);
        // A server that takes no acks is not asked for more jobs.
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

    /// How deep a lane may be now. A worker with deep lanes takes long to end. Near the work server
    /// many shallow lanes are enough: there each lane is only as deep as the rate asks for over the
    /// way itself, which a busy server does not lengthen.
    fn depth(&self, now: Instant) -> usize {
        let most = self.limits.depth;
        let way = match self.round_trip.way() {
            Some(way) if way >= AT_ONCE => return most,
            Some(way) => way,
            None => Duration::ZERO,
        };
        if self.lanes.iter().any(|lane| lane.connected && lane.takes_many) {
            // As many jobs as there is room for are asked for in one command.
            return NEAR_DEPTH.min(most);
        }
        let in_flight = ROUND_TRIPS * self.rate.greatest(now) * (way + REST).as_secs_f64();
        // More lanes come before depth. Lanes that the server does not grant do not count.
        let more_to_come = self.lanes.iter().any(|lane| !lane.wanted);
        let lanes = self.lanes.iter().filter(|lane| lane.connected || more_to_come).count().max(1);
        ((in_flight / lanes as f64).ceil() as usize).max(NEAR_DEPTH).min(most)
    }

    /// Grants FETCHes to lanes, first to the lanes with the fewest, and wants more lanes rather
    /// than deep ones. `wake` is called with each lane that has something to do now.
    pub(crate) fn grant(
        &mut self,
        unacknowledged: usize,
        now: Instant,
        mut wake: impl FnMut(usize),
    ) {
        let mut room = self.room(unacknowledged, now);
        let depth = self.depth(now);
        let takes_many = self.lanes.iter().any(|lane| lane.connected && lane.takes_many);
        let together_max = if takes_many { FETCH_JOBS_MAX } else { depth };
        let together = (self.ahead(now) / TOGETHER).clamp(1, together_max);
        // With no room at all it is not only the ends of runs that make room.
        self.ends_to_grant = if room > 0 { together.saturating_sub(room) } else { 0 };
        if room < together {
            return;
        }
        let mut more_wanted = false;
        while room > 0 {
            let can_take = |lane: &Lane| lane.connected && lane.fetches < lane.most(depth);
            let fewest =
                self.lanes.iter().filter(|lane| can_take(lane)).map(|lane| lane.fetches).min();
            let is_enough = fewest == Some(0) || takes_many && fewest.is_some();
            if !more_wanted && !is_enough {
                self.want_more(room, &mut wake);
                more_wanted = true;
            }
            let Some(fewest) = fewest else { break };
            for (number, lane) in self.lanes.iter_mut().enumerate() {
                if room > 0 && lane.fetches == fewest && can_take(lane) {
                    let fetches = together.min(room).min(lane.most(depth) - lane.fetches);
                    lane.fetches += fetches;
                    lane.granted += fetches;
                    self.fetches += fetches;
                    room -= fetches;
                    wake(number);
                }
            }
        }
    }

    /// Has more lanes connected, one for each of the FETCHes; a lane that is being connected
    /// already will take one of the FETCHes.
    fn want_more(&mut self, fetches: usize, wake: &mut impl FnMut(usize)) {
        let coming = self.lanes.iter().filter(|lane| lane.wanted && !lane.connected).count();
        let unwanted = self.lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.wanted);
        for (number, lane) in unwanted.take(fetches.saturating_sub(coming)) {
            lane.wanted = true;
            wake(number);
        }
    }
}
