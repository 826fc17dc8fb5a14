//! The gate of trouble: more than the work server takes, and no work server at all.

use std::time::Duration;

use super::Check;
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

/// What the work server is held back to, in jobs a second.
const SERVER_RATE: f64 = 2000.0;
/// How many times as much is posted.
const TIMES: f64 = 3.0;
/// Jobs in a request.
const BATCH: usize = 10;
/// Where a queue stands, a job that would wait longer than this is refused (three eighths of
/// `max_wait` in the link's configuration), in seconds.
const WAIT_MAX: f64 = 0.75;

fn is_wanted(network: &str, scenario: &str, via: Via) -> bool {
    via == Via::Http
        && matches!((network, scenario), (NEAR, OUTAGE) | (NEAR_SLOW | WAN_SLOW, MOST | OVERLOAD))
}

pub(super) fn prepare(plan: &mut Plan) -> anyhow::Result<()> {
    let near = Network::with_round_trip(NEAR, "0.1 ms", Duration::from_micros(100));
    let wan = network::named(&["wan".into()])?.remove(0);
    plan.networks = vec![
        near.clone(),
        near.with_slow_server(NEAR_SLOW, SERVER_RATE),
        wan.with_slow_server(WAN_SLOW, SERVER_RATE),
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
    let figure = |network: &str, scenario: &str| -> Option<&Summary> {
        report.figure(network, scenario, Via::Http)?.summary.as_ref()
    };
    let mut checks = Vec::new();
    for network in [NEAR_SLOW, WAN_SLOW] {
        let round_trip_ms = report
            .networks
            .iter()
            .find(|one| one.network.name == network)
            .map(|one| one.round_trip_ms);
        let (most, overload) = (figure(network, MOST), figure(network, OVERLOAD));
        let goodput = most
            .zip(overload)
            .map(|(most, overload)| overload.jobs_per_second.median / most.jobs_per_second.median);
        let refused = |of: fn((f64, f64)) -> f64| {
            overload.and_then(|overload| overload.refused_us).map(|us| of(us) / 1e3)
        };
        let accepted = overload
            .zip(round_trip_ms)
            .map(|(overload, ms)| overload.p99_us.median / 1e6 - ms / 1e3);
        let grew = overload
            .and_then(|overload| overload.grew_bytes)
            .map(|bytes| bytes / f64::from(1 << 20));
        let name = |what: &str| format!("{network}, {TIMES} times the rate: {what}");
        checks.extend([
            Check::at_least(&name("jobs stored, against the most that goes through"), goodput, 0.9),
            Check::at_most(
                &name("what is accepted, p99 in seconds beyond the round trip"),
                accepted,
                WAIT_MAX + 0.5,
            ),
            Check::at_most(&name("refused, median in ms"), refused(|(median, _)| median), 5.0),
            Check::at_most(&name("refused, p99 in ms"), refused(|(_, p99)| p99), 20.0),
            Check::at_most(&name("memory of the API, MiB more"), grew, 16.0),
        ]);
    }
    let outage = |of: fn((f64, f64)) -> f64| {
        figure(NEAR, OUTAGE).and_then(|outage| outage.refused_us).map(|us| of(us) / 1e3)
    };
    checks.push(Check::at_most(
        "no work server: circuit_open, median in ms",
        outage(|(median, _)| median),
        1.0,
    ));
    checks.push(Check::at_most(
        "no work server: circuit_open, p99 in ms",
        outage(|(_, p99)| p99),
        10.0,
    ));
    checks
}
