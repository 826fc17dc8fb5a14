//! The gate of the enqueue path: posting over 100 ms is as fast as nearby.

use std::time::Duration;

use super::{Check, long_enough, paired};
use crate::network::{self, Network};
use crate::part::order::Via;
use crate::report::{Report, Summary};
use crate::runner::{self, Plan};
use crate::say;
use crate::scenario::{Focus, Kind, Pace, Scenario};

const NEAR: &str = "near";
const WAN: &str = "wan";
/// The same for single posts, with servers that have no millions of jobs of other scenarios behind
/// them to tidy up.
const WAN_SINGLES: &str = "wan-singles";
const WAN_CUBIC: &str = "wan-cubic";
const NONE: &str = "none";
const WIRELESS_BBR: &str = "wireless-bbr";
const WIRELESS_CUBIC: &str = "wireless-cubic";
const WIRELESS_CUBIC_50: &str = "wireless-cubic-50";
const LOSSLESS: &str = "wireless-lossless";

const DEEP: &str = "batches-deep";
const ONE_BY_ONE: &str = "batch-100";
const TEN: &str = "ten-batches";
const LARGE: &str = "batch-10000";
const THOUSAND: &str = "concurrent-1000";
const SINGLES: &str = "concurrent-64";
const OPEN: &str = "open-loop-half";
const SUSTAINED: &str = "sustained";
const STREAM: &str = "stream-million";

/// "Near", as a round trip.
const NEAR_ROUND_TRIP: Duration = Duration::from_micros(100);
/// "Far", in seconds.
const FAR_SECONDS: f64 = 0.1;
/// What a wireless link carries each way, in bits a second.
const WIRELESS_RATE: f64 = 20e6;
/// What is under way in a closed loop, in jobs that go through in a round trip: two of them fill
/// the distance while the server works on one, and the third covers the moments at which a server
/// stops to tidy up.
const UNDER_WAY: f64 = 3.0;
/// How long the figures are measured on which others depend.
const CALIBRATE: Duration = Duration::from_secs(4);

/// What is measured where: the table, row by row.
fn is_wanted(network: &str, scenario: &str, via: Via) -> bool {
    match (network, scenario) {
        (NEAR, DEEP) => matches!(via, Via::Http | Via::Link),
        (WAN, ONE_BY_ONE) => via == Via::Crate,
        (NONE, SUSTAINED) => matches!(via, Via::Http | Via::Crate),
        (WAN, DEEP | STREAM | LARGE)
        | (WAN_SINGLES, THOUSAND | OPEN)
        | (NEAR, SINGLES | LARGE)
        | (WAN_CUBIC, TEN)
        | (WIRELESS_BBR | WIRELESS_CUBIC | WIRELESS_CUBIC_50 | LOSSLESS, SUSTAINED) => {
            via == Via::Http
        }
        _ => false,
    }
}

pub(super) fn prepare(plan: &mut Plan) -> anyhow::Result<()> {
    let wireless = network::named(&["wireless".into()])?.remove(0);
    let wan = network::named(&[WAN.into()])?.remove(0);
    plan.networks = vec![
        network::named(&[NONE.into()])?.remove(0),
        Network::with_round_trip(NEAR, "0.1 ms", NEAR_ROUND_TRIP),
        wan.clone(),
        wan.clone().named(WAN_SINGLES),
        wan.with_congestion(WAN_CUBIC, "cubic"),
        wireless.clone().with_congestion(WIRELESS_BBR, "bbr"),
        wireless.clone().with_congestion(WIRELESS_CUBIC, "cubic"),
        wireless
            .with_congestion(WIRELESS_CUBIC_50, "cubic")
            .with_connections(WIRELESS_CUBIC_50, 50),
        network::lossless(LOSSLESS).with_congestion(LOSSLESS, "bbr"),
    ];
    let enqueue = |name: &str, title: String, batch: usize, pace: Pace, focus: Focus| Scenario {
        name: name.into(),
        title,
        kind: Kind::Enqueue { batch, pace },
        focus,
    };
    let after_ready =
        |name: &str, title: &str, batch: usize, requests: u64, times: usize| Scenario {
            name: name.into(),
            title: title.into(),
            kind: Kind::AfterReady { batch, requests, times },
            focus: Focus::Latency,
        };
    let sixty_four = |name: &str, batch: usize| {
        enqueue(
            name,
            format!("64 clients post batches of {batch}"),
            batch,
            Pace::Clients(64),
            Focus::Throughput,
        )
    };
    // What the settings of others depend on.
    plan.scenarios = vec![sixty_four(DEEP, 100), sixty_four(SINGLES, 1)];
    let rate = |scenario| runner::rate(plan, NEAR, scenario, Via::Http, CALIBRATE);
    let (batches, singles) = (rate(DEEP)?, rate(SINGLES)?);
    let clients = (UNDER_WAY * batches * FAR_SECONDS / 100.0).ceil().max(64.0) as usize;
    let per_second = (singles / 2.0).floor();
    say(&format!(
        "Near, 64 clients reach {batches:.0} jobs/s in batches and {singles:.0} in single posts: \
         {clients} clients with 100 jobs each, {per_second} posts/s."
    ));
    plan.scenarios = vec![
        enqueue(
            DEEP,
            format!("{clients} clients post batches of 100"),
            100,
            Pace::Clients(clients),
            Focus::Throughput,
        ),
        enqueue(
            ONE_BY_ONE,
            "one client posts batches of 100, one after the other".into(),
            100,
            Pace::Clients(1),
            Focus::Throughput,
        ),
        after_ready(
            TEN,
            "ten batches of 100, one after the other, as soon as a fresh API is ready; 20 times",
            100,
            10,
            20,
        ),
        after_ready(
            LARGE,
            "a batch of 10,000 as soon as a fresh API is ready; 5 times",
            10_000,
            1,
            5,
        ),
        enqueue(
            THOUSAND,
            "1,000 clients post one job at a time each".into(),
            1,
            Pace::Clients(1000),
            Focus::Throughput,
        ),
        sixty_four(SINGLES, 1),
        enqueue(
            OPEN,
            format!("{per_second} single posts a second, at intended times"),
            1,
            Pace::PerSecond(per_second),
            Focus::Latency,
        ),
        sixty_four(SUSTAINED, 100),
        enqueue(
            STREAM,
            "a million jobs in one request".into(),
            1,
            Pace::Stream { count: 1_000_000 },
            Focus::Throughput,
        ),
    ];
    plan.pick = Some(is_wanted);
    plan.vias = Vec::new();
    Ok(())
}

pub(super) fn checks(report: &Report) -> Vec<Check> {
    let figure = |network: &str, scenario: &str, via| -> Option<&Summary> {
        report.figure(network, scenario, via)?.summary.as_ref()
    };
    let rate = |network: &str, scenario: &str, via| {
        figure(network, scenario, via).map(|summary| summary.jobs_per_second.median)
    };
    let ratio = |one: Option<f64>, other: Option<f64>| Some(one? / other?);
    let paired = |far, near| {
        paired(report, far, near, |far, near| far.jobs_per_second / near.jobs_per_second)
    };
    let round_trip_ms = |name: &str| {
        report
            .networks
            .iter()
            .find(|network| network.network.name == name)
            .map(|network| network.round_trip_ms)
    };
    let far_us = round_trip_ms(WAN_SINGLES).or_else(|| round_trip_ms(WAN)).map(|ms| ms * 1e3);
    let cubic_us = round_trip_ms(WAN_CUBIC).map(|ms| ms * 1e3);
    let bytes =
        figure(LOSSLESS, SUSTAINED, Via::Http).and_then(|summary| summary.sent_bytes_per_job);
    let carried = bytes.map(|bytes| WIRELESS_RATE / 8.0 / bytes);
    let ten = figure(WAN_CUBIC, TEN, Via::Http);
    let large = |network| figure(network, LARGE, Via::Http).map(|summary| summary.p50_us.median);
    let open = figure(WAN_SINGLES, OPEN, Via::Http);
    let processor = |via, process: &str| {
        figure(NONE, SUSTAINED, via)
            .and_then(|summary| summary.processor_us_per_job.get(process).copied())
    };
    let mut checks = long_enough(report, 5.0, 20.0);
    checks.extend([
        Check::at_least(
            "floor: near, batches of 100: API against the bare link",
            paired((NEAR, DEEP, Via::Http), (NEAR, DEEP, Via::Link)),
            0.5,
        ),
        Check::at_least(
            "batches of 100: 100 ms against near",
            paired((WAN, DEEP, Via::Http), (NEAR, DEEP, Via::Http)),
            0.85,
        ),
        Check::at_least(
            "batches of 100 at 100 ms: against the crate's enqueue_many on one connection",
            ratio(rate(WAN, DEEP, Via::Http), rate(WAN, ONE_BY_ONE, Via::Crate)),
            60.0,
        ),
        Check::at_most(
            "ten batches after ready, cubic: median in round trips",
            ratio(ten.map(|ten| ten.p50_us.median), cubic_us),
            1.15,
        ),
        Check::at_most(
            "ten batches after ready, cubic: 95th percentile in round trips",
            ratio(ten.map(|ten| ten.p95_us), cubic_us),
            1.3,
        ),
        Check::at_most(
            "a batch of 10,000 after ready: round trips beyond near's time",
            large(WAN).and_then(|far| Some((far - large(NEAR)?) / far_us?)),
            4.0,
        ),
        Check::at_least(
            "1,000 clients with single posts: share of 1,000 a round trip",
            rate(WAN_SINGLES, THOUSAND, Via::Http)
                .and_then(|rate| Some(rate * far_us? / 1e6 / 1000.0)),
            0.85,
        ),
        Check::at_most(
            "single posts, open loop: median in round trips",
            ratio(open.map(|open| open.p50_us.median), far_us),
            1.1,
        ),
        Check::at_most(
            "single posts, open loop: 99th percentile in round trips",
            ratio(open.map(|open| open.p99_us.median), far_us),
            2.0,
        ),
        Check::at_least(
            "wireless, bbr, 15 connections: share of what the link carries",
            ratio(rate(WIRELESS_BBR, SUSTAINED, Via::Http), carried),
            0.7,
        ),
        Check::at_most("wireless: bytes a job with headers", bytes, 125.0),
        Check::at_least(
            "wireless, cubic, 15 connections: the same share",
            ratio(rate(WIRELESS_CUBIC, SUSTAINED, Via::Http), carried),
            0.35,
        ),
        Check::at_least(
            "wireless, cubic, 50 connections: the same share",
            ratio(rate(WIRELESS_CUBIC_50, SUSTAINED, Via::Http), carried),
            0.55,
        ),
        Check::at_most(
            "processor time of the API per job, batches of 100: against the crate's process",
            ratio(processor(Via::Http, "api"), processor(Via::Crate, "client")),
            2.0,
        ),
        Check::at_most(
            "ready after the start of the process: round trips",
            ratio(ten.and_then(|ten| ten.ready_us), cubic_us),
            2.5,
        ),
        Check::at_most(
            "memory of the API over a stream of a million jobs: MiB more than after 10,000",
            figure(WAN, STREAM, Via::Http)
                .and_then(|summary| summary.grew_bytes)
                .map(|bytes| bytes / f64::from(1 << 20)),
            32.0,
        ),
    ]);
    checks
}
