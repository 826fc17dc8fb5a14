//! The gate of overload: more jobs than the work server takes, and no work server at all.

use std::time::Duration;

use super::check::Check;
use super::figures::{Figures, ratio};
use crate::network::{self, Network};
use crate::part::order::Via;
use crate::report::{Report, Summary};
use crate::runner::Plan;
use crate::scenario::{Focus, Kind, Pace, Scenario};

const NEAR: &str = "near";
const NEAR_SLOW: &str = "near-slow";
const WAN_SLOW: &str = "wan-slow";

const MOST: &str = "batches-of-10";
const OVERLOAD: &str = "overload";
const OUTAGE: &str = "outage";

/// The most jobs a second that the brake lets through to the work server.
const SERVER_RATE: f64 = 2000.0;
/// The posted rate, as a multiple of the work server's rate.
const TIMES: f64 = 3.0;
/// The number of jobs in a request.
const BATCH: usize = 10;
/// The longest wait of an accepted job while the queue is overloaded, in seconds: three eighths of
/// `max_wait` in the link's configuration.
const WAIT_MAX: f64 = 0.75;

fn is_wanted(network: &str, scenario: &str, via: Via) -> bool {
    via == Via::Http
        && matches!((network, scenario), (NEAR, OUTAGE) | (NEAR_SLOW | WAN_SLOW, MOST | OVERLOAD))
}

pub(super) fn prepare(plan: &mut Plan) -> anyhow::Result<()> {
    let near = Network::with_round_trip(NEAR, "0.1 ms", Duration::from_micros(100));
    plan.networks = vec![
        near.clone(),
        near.with_slow_server(NEAR_SLOW, SERVER_RATE),
        network::wan().with_slow_server(WAN_SLOW, SERVER_RATE),
    ];
    let per_second = TIMES * SERVER_RATE / BATCH as f64;
    let scenario =
        |name: &str, title: String, kind, focus| Scenario { name: name.into(), title, kind, focus };
    plan.scenarios = vec![
        scenario(
            MOST,
            format!("64 clients post batches of {BATCH}: as much as goes through"),
            Kind::Enqueue { batch: BATCH, pace: Pace::Clients(64) },
            Focus::Throughput,
        ),
        scenario(
            OVERLOAD,
            format!(
                "{per_second} batches of {BATCH} a second: {TIMES} times as much as the work \
                 server takes"
            ),
            Kind::Overload { batch: BATCH, per_second },
            Focus::Throughput,
        ),
        scenario(
            OUTAGE,
            "the work server goes, and 8 clients go on posting".into(),
            Kind::Outage { clients: 8 },
            Focus::Latency,
        ),
    ];
    plan.pick = Some(is_wanted);
    plan.vias = Vec::new();
    Ok(())
}

pub(super) fn checks(report: &Report) -> Vec<Check> {
    let figures = Figures(report);
    let mut checks = Vec::new();
    for network in [NEAR_SLOW, WAN_SLOW] {
        checks.extend(overload(figures, network));
    }
    checks.extend(outage(figures));
    checks
}

fn overload(figures: Figures<'_>, network: &str) -> [Check; 5] {
    let most = figures.rate((network, MOST, Via::Http));
    let overload = figures.summary((network, OVERLOAD, Via::Http));
    let goodput = ratio(overload.map(|overload| overload.jobs_per_second.median), most);
    let refused = |of| refused_ms(overload, of);
    let accepted = overload
        .zip(figures.round_trip_ms(network))
        .map(|(overload, ms)| overload.p99_us.median / 1e6 - ms / 1e3);
    let grew =
        overload.and_then(|overload| overload.grew_bytes).map(|bytes| bytes / f64::from(1 << 20));
    let name = |what: &str| format!("{network}, {TIMES} times the rate: {what}");
    [
        Check::at_least(&name("jobs stored, against the most that goes through"), goodput, 0.9),
        Check::at_most(
            &name("what is accepted, p99 in seconds beyond the round trip"),
            accepted,
            WAIT_MAX + 0.5,
        ),
        Check::at_most(&name("refused, median in ms"), refused(|(median, _)| median), 5.0),
        Check::at_most(&name("refused, p99 in ms"), refused(|(_, p99)| p99), 20.0),
        Check::at_most(&name("memory of the API, MiB more"), grew, 16.0),
    ]
}

fn outage(figures: Figures<'_>) -> [Check; 2] {
    let refused = |of| refused_ms(figures.summary((NEAR, OUTAGE, Via::Http)), of);
    [
        Check::at_most(
            "no work server: circuit_open, median in ms",
            refused(|(median, _)| median),
            1.0,
        ),
        Check::at_most("no work server: circuit_open, p99 in ms", refused(|(_, p99)| p99), 10.0),
    ]
}

/// One of the latencies of refused requests, median or 99th percentile, in milliseconds.
fn refused_ms(summary: Option<&Summary>, of: fn((f64, f64)) -> f64) -> Option<f64> {
    summary.and_then(|summary| summary.refused_us).map(|us| of(us) / 1e3)
}
