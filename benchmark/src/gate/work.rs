//! The gate of the work path: a worker far away is as good as one nearby.

use std::time::Duration;

use super::check::{Check, long_enough};
use super::figures::Figures;
use crate::network::{self, Network};
use crate::part::order::Via;
use crate::report::{Report, Run};
use crate::runner::Plan;
use crate::scenario::{Focus, Kind, Mix, Scenario};

const NONE: &str = "none-50";
const WAN: &str = "wan-50";
/// The WAN with the variables of `.env.wan`.
const WAN_PROFILE: &str = "wan-profile";
const WIRELESS: &str = "wireless-bbr-50";

const NOOP: &str = "work-noop-15";
const SHORT: &str = "work-10ms-20";
const SECOND: &str = "work-1s-10";
const LONG: &str = "work-5s-10";
const IDLE: &str = "idle-50";
const SHARING: &str = "two-workers";

/// The number of connections where nothing else is said: each fetch lane is a connection.
const CONNECTIONS: usize = 50;
/// The number of connections of `.env.wan`.
const PROFILE_CONNECTIONS: usize = 15;
/// The shutdown timeout of `.env.wan`, in seconds.
const PROFILE_SHUTDOWN_SECONDS: u64 = 60;
/// The most jobs a second that count nearby: a worker must not fail the gate because it is very
/// fast there.
const NEAR_COUNTS: f64 = 5000.0;

fn is_wanted(network: &str, scenario: &str, via: Via) -> bool {
    match (network, scenario) {
        (NONE | WAN, NOOP) => true,
        (WAN_PROFILE, NOOP) | (WAN, SHORT | SECOND | LONG | IDLE | SHARING) | (WIRELESS, SHORT) => {
            via == Via::Worker
        }
        _ => false,
    }
}

pub(super) fn prepare(plan: &mut Plan) -> anyhow::Result<()> {
    let with = |network: Network, name: &str| network.with_connections(name, CONNECTIONS);
    plan.networks = vec![
        with(network::none(), NONE),
        with(network::wan(), WAN),
        network::wan()
            .with_connections(WAN_PROFILE, PROFILE_CONNECTIONS)
            .with_shutdown_timeout(PROFILE_SHUTDOWN_SECONDS),
        with(network::wireless().with_congestion(WIRELESS, "bbr"), WIRELESS),
    ];
    plan.congestion.far = Some("bbr".into());
    plan.scenarios = scenarios();
    plan.pick = Some(is_wanted);
    plan.vias = Vec::new();
    Ok(())
}

fn scenarios() -> Vec<Scenario> {
    let work = |name: &str, concurrency: usize, takes: Duration| Scenario {
        name: name.into(),
        title: format!("a worker with concurrency {concurrency} runs jobs of {takes:?}"),
        kind: Kind::Work { concurrency, mix: Mix::All(takes) },
        focus: Focus::Throughput,
    };
    vec![
        work(NOOP, 15, Duration::ZERO),
        work(SHORT, 20, Duration::from_millis(10)),
        work(SECOND, 10, Duration::from_secs(1)),
        work(LONG, 10, Duration::from_secs(5)),
        Scenario {
            name: IDLE.into(),
            title: "50 jobs come at random moments to a worker that has nothing to do".into(),
            kind: Kind::Idle { concurrency: 15, jobs: 50 },
            focus: Focus::Latency,
        },
        Scenario {
            name: SHARING.into(),
            title: "two workers of concurrency 10 share 400 jobs of 100 ms".into(),
            kind: Kind::Sharing {
                workers: 2,
                concurrency: 10,
                jobs: 400,
                takes: Duration::from_millis(100),
            },
            focus: Focus::Duration,
        },
    ]
}

pub(super) fn checks(report: &Report) -> Vec<Check> {
    let mut checks = long_enough(report, 3.0, 20.0);
    checks.extend(against_the_crate(Figures(report)));
    checks.extend(by_itself(Figures(report)));
    checks.push(processor_time(Figures(report)));
    checks
}

/// Figures that are compared with another run: of the crate's worker, or without delay.
fn against_the_crate(figures: Figures<'_>) -> [Check; 3] {
    let rate = |one: &Run, other: &Run| one.jobs_per_second / other.jobs_per_second;
    let up_to_enough =
        |far: &Run, near: &Run| far.jobs_per_second / near.jobs_per_second.min(NEAR_COUNTS);
    [
        Check::at_least(
            "no-op jobs, 100 ms: against the crate's worker",
            figures.paired((WAN, NOOP, Via::Worker), (WAN, NOOP, Via::Crate), rate),
            60.0,
        ),
        Check::at_least(
            "the same against its own figure without delay, up to 5,000 jobs/s",
            figures.paired((WAN, NOOP, Via::Worker), (NONE, NOOP, Via::Worker), up_to_enough),
            0.8,
        ),
        Check::at_least(
            "the same with .env.wan: against the crate's worker",
            figures.paired((WAN_PROFILE, NOOP, Via::Worker), (WAN, NOOP, Via::Crate), rate),
            30.0,
        ),
    ]
}

/// Figures that our worker reaches by itself.
fn by_itself(figures: Figures<'_>) -> [Check; 7] {
    let ours = |network, scenario| figures.summary((network, scenario, Via::Worker));
    let share = |network, scenario| ours(network, scenario)?.handler_share;
    let most = |scenario, of: fn(&Run) -> Option<u64>| {
        figures.runs((WAN, scenario, Via::Worker)).filter_map(of).max().map(|most| most as f64)
    };
    let idle_us = ours(WAN, IDLE).map(|summary| summary.p50_us.median);
    let half_way_us = figures.round_trip_ms(WAN).map(|ms| ms * 1e3 / 2.0);
    let least_share = figures.runs((WAN, SHARING, Via::Worker)).filter_map(|run| run.least_share);
    [
        Check::at_least("jobs of 10 ms, 100 ms: handlers' share", share(WAN, SHORT), 0.9),
        Check::at_least("jobs of 1 s, 100 ms: handlers' share", share(WAN, SECOND), 0.95),
        Check::at_most(
            "jobs of 1 s: reserved at the most, of the concurrency",
            most(SECOND, |run| run.reserved).map(|most| most / 10.0),
            2.0,
        ),
        Check::at_most(
            "jobs of 5 s: fetched and unfinished beyond the concurrency",
            most(LONG, |run| run.held).map(|most| most - 10.0),
            1.0,
        ),
        Check::at_least("wireless, jobs of 10 ms: handlers' share", share(WIRELESS, SHORT), 0.7),
        Check::at_most(
            "an idle worker: from the queue to the handler beyond half a round trip, ms at the \
             median",
            idle_us.zip(half_way_us).map(|(idle, half_way)| (idle - half_way) / 1e3),
            10.0,
        ),
        Check::at_least(
            "two workers: share of the one with fewer jobs",
            least_share.reduce(f64::min),
            0.4,
        ),
    ]
}

fn processor_time(figures: Figures<'_>) -> Check {
    let ratio = |one: &Run, other: &Run| {
        let of = |run: &Run| run.processor_us_per_job.get("worker").copied().unwrap_or(f64::NAN);
        of(one) / of(other)
    };
    Check::at_most(
        "processor time per no-op job without delay: against the crate's worker",
        figures.paired((NONE, NOOP, Via::Worker), (NONE, NOOP, Via::Crate), ratio),
        1.0,
    )
}
