//! The checks of the enqueue path.

use super::{
    DEEP, LARGE, LOSSLESS, NEAR, NONE, ONE_BY_ONE, OPEN, STREAM, SUSTAINED, TEN, THOUSAND, WAN,
    WAN_CUBIC, WAN_SINGLES, WIRELESS_BBR, WIRELESS_CUBIC, WIRELESS_CUBIC_50,
};
use crate::gate::check::{Check, long_enough};
use crate::gate::figures::{Figures, ratio};
use crate::part::order::Via;
use crate::report::{Report, Summary};

/// The rate of the wireless link each way, in bits a second.
const WIRELESS_RATE: f64 = 20e6;

pub(in crate::gate) fn checks(report: &Report) -> Vec<Check> {
    let figures = Figures(report);
    let mut checks = long_enough(report, 5.0, 20.0);
    checks.extend(batches(figures));
    checks.extend(fresh_api(figures));
    checks.extend(singles(figures));
    checks.extend(wireless(figures));
    checks.extend(costs(figures));
    checks
}

fn http<'a>(figures: Figures<'a>, network: &str, scenario: &str) -> Option<&'a Summary> {
    figures.summary((network, scenario, Via::Http))
}

/// The round trip of the single posts' network, in microseconds.
fn far_us(figures: Figures<'_>) -> Option<f64> {
    let ms = figures.round_trip_ms(WAN_SINGLES).or_else(|| figures.round_trip_ms(WAN));
    ms.map(|ms| ms * 1e3)
}

/// The round trip of the network with cubic, in microseconds.
fn cubic_us(figures: Figures<'_>) -> Option<f64> {
    figures.round_trip_ms(WAN_CUBIC).map(|ms| ms * 1e3)
}

fn batches(figures: Figures<'_>) -> [Check; 3] {
    let paired = |far, near| {
        figures.paired(far, near, |far, near| far.jobs_per_second / near.jobs_per_second)
    };
    [
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
            ratio(
                figures.rate((WAN, DEEP, Via::Http)),
                figures.rate((WAN, ONE_BY_ONE, Via::Crate)),
            ),
            60.0,
        ),
    ]
}

/// Batches as soon as a fresh API is ready.
fn fresh_api(figures: Figures<'_>) -> [Check; 3] {
    let (ten, cubic_us) = (http(figures, WAN_CUBIC, TEN), cubic_us(figures));
    let large_us = |network| http(figures, network, LARGE).map(|summary| summary.p50_us.median);
    [
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
            large_us(WAN).and_then(|far| Some((far - large_us(NEAR)?) / far_us(figures)?)),
            4.0,
        ),
    ]
}

fn singles(figures: Figures<'_>) -> [Check; 3] {
    let (open, far_us) = (http(figures, WAN_SINGLES, OPEN), far_us(figures));
    let thousand = figures.rate((WAN_SINGLES, THOUSAND, Via::Http));
    [
        Check::at_least(
            "1,000 clients with single posts: share of 1,000 a round trip",
            thousand.and_then(|rate| Some(rate * far_us? / 1e6 / 1000.0)),
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
    ]
}

fn wireless(figures: Figures<'_>) -> [Check; 4] {
    let bytes = http(figures, LOSSLESS, SUSTAINED).and_then(|summary| summary.sent_bytes_per_job);
    let capacity = bytes.map(|bytes| WIRELESS_RATE / 8.0 / bytes);
    let share = |network| ratio(figures.rate((network, SUSTAINED, Via::Http)), capacity);
    [
        Check::at_least(
            "wireless, bbr, 15 connections: share of what the link carries",
            share(WIRELESS_BBR),
            0.7,
        ),
        Check::at_most("wireless: bytes a job with headers", bytes, 125.0),
        Check::at_least(
            "wireless, cubic, 15 connections: the same share",
            share(WIRELESS_CUBIC),
            0.35,
        ),
        Check::at_least(
            "wireless, cubic, 50 connections: the same share",
            share(WIRELESS_CUBIC_50),
            0.55,
        ),
    ]
}

/// Processor time, time to start, and memory.
fn costs(figures: Figures<'_>) -> [Check; 3] {
    let processor = |via, process: &str| {
        let summary = figures.summary((NONE, SUSTAINED, via))?;
        summary.processor_us_per_job.get(process).copied()
    };
    let ready_us = http(figures, WAN_CUBIC, TEN).and_then(|ten| ten.ready_us);
    let grew = http(figures, WAN, STREAM).and_then(|summary| summary.grew_bytes);
    [
        Check::at_most(
            "processor time of the API per job, batches of 100: against the crate's process",
            ratio(processor(Via::Http, "api"), processor(Via::Crate, "client")),
            2.0,
        ),
        Check::at_most(
            "ready after the start of the process: round trips",
            ratio(ready_us, cubic_us(figures)),
            2.5,
        ),
        Check::at_most(
            "memory of the API over a stream of a million jobs: MiB more than after 10,000",
            grew.map(|bytes| bytes / f64::from(1 << 20)),
            32.0,
        ),
    ]
}
