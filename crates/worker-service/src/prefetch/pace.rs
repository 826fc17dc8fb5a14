//! The pace of a worker: the round trip to the work server, and the rate of its own runs.

use std::time::Duration;

use faktory_link::WindowedMax;
use tokio::time::Instant;

/// The period of the rate's maximum: a value counts until the end of the next period.
const RATE_COUNTS: Duration = Duration::from_secs(3);
/// The period of the round trip's minimum: a value counts until the end of the next period.
const ROUND_TRIP_COUNTS: Duration = Duration::from_secs(30);

/// The rate of a worker: runs that ended, a second.
#[derive(Debug)]
pub(super) struct Rate {
    best: WindowedMax,
    since: Option<Instant>,
    ended: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self { best: WindowedMax::new(RATE_COUNTS), since: None, ended: 0 }
    }
}

impl Rate {
    /// Notes that a run has ended; the rate is measured over `over`.
    pub(super) fn note(&mut self, over: Duration, now: Instant) {
        let since = *self.since.get_or_insert(now);
        self.ended += 1;
        let lasted = now.duration_since(since);
        if lasted >= over {
            self.best.record_expiring(f64::from(self.ended) / lasted.as_secs_f64(), now);
            (self.since, self.ended) = (Some(now), 0);
        }
    }

    /// The maximum of the present period and the last one.
    pub(super) fn greatest(&self, now: Instant) -> f64 {
        self.best.max_at(now).unwrap_or(0.0)
    }
}

/// The round trip: from a FETCH to the job that was there.
#[derive(Debug)]
pub(super) struct RoundTrip {
    /// The shortest round trip, as its negative.
    shortest: WindowedMax,
    smoothed: Option<f64>,
    /// The shortest handshake of the present connections.
    distance: Option<f64>,
}

impl Default for RoundTrip {
    fn default() -> Self {
        Self { shortest: WindowedMax::new(ROUND_TRIP_COUNTS), smoothed: None, distance: None }
    }
}

impl RoundTrip {
    /// Notes a connection's handshake; `is_only` where there is no other connection.
    pub(super) fn note_distance(&mut self, distance: Duration, is_only: bool) {
        let seen = distance.as_secs_f64();
        // A handshake may have lost a packet.
        self.distance =
            Some(self.distance.filter(|_| !is_only).map_or(seen, |known| known.min(seen)));
    }

    /// The round trip of the way itself, where it is known, without the work of the server.
    pub(super) fn way(&self) -> Option<Duration> {
        self.distance.map(Duration::from_secs_f64)
    }

    /// Notes a round trip, in seconds.
    pub(super) fn note(&mut self, took: f64, now: Instant) {
        self.shortest.record_expiring(-took, now);
        self.smoothed =
            Some(self.smoothed.map_or(took, |smoothed| smoothed + (took - smoothed) / 8.0));
    }

    /// The smoothed round trip, between the shortest and twice the shortest: what a busy server
    /// adds is no part of the way.
    pub(super) fn seconds(&self, now: Instant) -> Option<f64> {
        let shortest = self.shortest.max_at(now).map(|negative| -negative).or(self.distance)?;
        Some(self.smoothed.map_or(shortest, |smoothed| smoothed.clamp(shortest, 2.0 * shortest)))
    }
}
