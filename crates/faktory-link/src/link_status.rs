//! The state of a link, for health checks and metrics.

use std::time::Duration;

use crate::breaker::BreakerState;

/// The state of a link at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkStatus {
    /// Jobs that wait to be sent.
    pub waiting: usize,
    /// Jobs sent and not yet answered.
    pub in_flight: usize,
    /// Jobs that may be in flight.
    pub allowed: usize,
    /// The round trip from a command to its reply, smoothed; `None` before the first reply.
    pub round_trip: Option<Duration>,
    /// The shortest round trip of the last 30 to 60 s in which commands were answered.
    pub round_trip_min: Option<Duration>,
    /// Connections that the pool has.
    pub connections: usize,
    /// Connections over which no command is being written.
    pub idle: usize,
    /// Connections that the pool may have.
    pub connections_max: usize,
    /// The state of the circuit breaker.
    pub breaker: BreakerState,
    /// How often the circuit has opened.
    pub breaker_opened: u64,
    /// Connections made so far.
    pub connected: u64,
    /// Seconds for which the work server remembers the ids of pushed jobs, so that a job that is
    /// sent again is not stored again: 0 where it remembers none, as Faktory. `None` before the
    /// first connection.
    pub once: Option<u32>,
}
