//! A rough estimate of how long a plan takes.

use std::time::Duration;

use super::plan::Plan;
use super::trouble;
use crate::network::Network;
use crate::part::order::Via;
use crate::scenario::{Kind, Pace, Parameters, Scenario};

/// The time in which an API is started and ready, without the distance.
const API_STARTS: Duration = Duration::from_millis(500);
/// The time to look at queues and to start processes.
const AROUND: Duration = Duration::from_millis(700);

impl Plan {
    /// The estimated time: the measured times, the start of processes, the look at queues, and the
    /// baseline's round trips.
    pub(crate) fn estimate(&self) -> Duration {
        let of = |network: &Network| {
            self.measurements(network)
                .iter()
                .map(|(scenario, via)| one(&self.parameters, network, scenario, *via))
                .sum::<Duration>()
        };
        let round: Duration = self.networks.iter().map(of).sum();
        times(round, self.parameters.repetitions)
    }
}

fn one(parameters: &Parameters, network: &Network, scenario: &Scenario, via: Via) -> Duration {
    measured(parameters, network.round_trip(), scenario.kind, via)
        + connecting(network.round_trip(), scenario.kind, via)
        + parameters.warm_up
        + AROUND
}

fn measured(parameters: &Parameters, round_trip: Duration, kind: Kind, via: Via) -> Duration {
    match kind {
        Kind::Enqueue { pace: Pace::Jobs { .. }, .. } if !via.is_baseline() => round_trip * 10,
        Kind::Enqueue { pace: Pace::Jobs { .. }, .. } => parameters.at_most.min(round_trip * 20),
        Kind::Enqueue { pace: Pace::Stream { count }, .. } => Duration::from_secs(count / 50_000),
        Kind::AfterReady { requests, times: restarts, .. } => {
            times(times(round_trip, requests) + API_STARTS, restarts)
        }
        Kind::Enqueue { .. }
        | Kind::Overload { .. }
        | Kind::Outage { .. }
        | Kind::Hostile { .. }
        | Kind::Work { .. }
        | Kind::Idle { .. }
        | Kind::Payloads { .. }
        | Kind::Hanging { .. }
        | Kind::Busy { .. }
        | Kind::Raw { .. }
        | Kind::Restart
        | Kind::Due { .. }
        | Kind::Fill
        | Kind::Beside { .. }
        | Kind::Sync
        | Kind::EndToEnd { .. } => parameters.duration,
        Kind::Queues { jobs, .. } => Duration::from_secs(jobs / 50_000),
        Kind::Posting { cut, .. } if cut.is_zero() => parameters.duration,
        Kind::Posting { cut, .. } => trouble::BEFORE_CUT + cut + trouble::AFTER_CUT,
        Kind::Silence { lasts, times } => lasts * times,
        Kind::Ending { times: endings, dry, .. } => {
            times(Duration::from_secs(if dry { 30 } else { 5 }), endings)
        }
        Kind::Cut { lasts, .. } => lasts + Duration::from_secs(35),
        Kind::Chaos { lasts, .. } => lasts + Duration::from_secs(200),
        Kind::Sharing { workers, concurrency, jobs, takes } => {
            times(takes, jobs / (workers * concurrency).max(1) as u64)
        }
    }
}

/// The time until all connections are made. The crate's worker makes its connections one after the
/// other.
fn connecting(round_trip: Duration, kind: Kind, via: Via) -> Duration {
    match kind {
        Kind::Work { concurrency, .. } | Kind::EndToEnd { concurrency, .. }
            if via.is_baseline() =>
        {
            round_trip * 3 * u32::try_from(concurrency).unwrap_or(0)
        }
        Kind::Work { .. }
        | Kind::Idle { .. }
        | Kind::Sharing { .. }
        | Kind::Ending { .. }
        | Kind::Chaos { .. }
        | Kind::Cut { .. }
        | Kind::Posting { .. }
        | Kind::Silence { .. }
        | Kind::Payloads { .. }
        | Kind::Queues { .. }
        | Kind::Hanging { .. }
        | Kind::Busy { .. }
        | Kind::EndToEnd { .. }
        | Kind::Enqueue { .. }
        | Kind::AfterReady { .. }
        | Kind::Overload { .. }
        | Kind::Outage { .. }
        | Kind::Raw { .. }
        | Kind::Restart
        | Kind::Due { .. }
        | Kind::Fill
        | Kind::Beside { .. }
        | Kind::Sync
        | Kind::Hostile { .. } => round_trip * 6,
    }
}

fn times(time: Duration, count: impl TryInto<u32>) -> Duration {
    time * count.try_into().unwrap_or(u32::MAX)
}
