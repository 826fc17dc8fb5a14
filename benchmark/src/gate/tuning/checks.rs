//! The table of checks: each compares the figures behind an advice of `docs/tuning.md`.

use super::case::Case::*;
use super::figure::Quantity::*;
use super::figure::{At, Figure, Quantity};
use super::setup::*;
use crate::gate::check::{Check, long_enough};
use crate::report::Report;

/// One check: a figure and its bounds. A name that begins with "the same" continues the check
/// before it.
struct Row {
    what: &'static str,
    found: Figure,
    at_least: f64,
    at_most: f64,
}

const fn at_least(at_least: f64, what: &'static str, found: Figure) -> Row {
    Row { what, found, at_least, at_most: f64::INFINITY }
}

const fn at_most(at_most: f64, what: &'static str, found: Figure) -> Row {
    Row { what, found, at_least: 0.0, at_most }
}

const fn ours(quantity: Quantity, at: At) -> Figure {
    Figure::Ours(quantity, at)
}

const fn ratio(quantity: Quantity, one: At, other: At) -> Figure {
    Figure::Ratio(quantity, one, other)
}

const CHECKS: &[Row] = &[
    at_least(
        0.8,
        "FAKTORY_MAX_CONNECTIONS: batches by 1 against 50",
        ratio(Rate, (WAN_CONNECTIONS_1, Sustained), (WAN, Sustained)),
    ),
    at_least(
        1.3,
        "the same: a first batch of 10,000 by 1, times as long as by 15",
        ratio(LatencyMs, (WAN_CONNECTIONS_1, FirstBatch), (WAN_CONNECTIONS_15, FirstBatch)),
    ),
    at_least(
        2.5,
        "the same: a worker's no-op jobs by 15 against 5",
        ratio(Rate, (WAN_CONNECTIONS_15, Noop), (WAN_CONNECTIONS_5, Noop)),
    ),
    at_least(
        2.5,
        "the same: by 50 against 15",
        ratio(Rate, (WAN, Noop), (WAN_CONNECTIONS_15, Noop)),
    ),
    at_most(
        0.6,
        "the same: 50 places' share with jobs of 10 ms by 15",
        ours(HandlerShare, (WAN_CONNECTIONS_15, TenMs(50))),
    ),
    at_least(0.9, "the same: by 50", ours(HandlerShare, (WAN, TenMs(50)))),
    at_least(
        1.3,
        "FAKTORY_CONNECTION_TIMEOUT: as short as the way, an API is ready so many times as late",
        ratio(ReadyUs, (WIRELESS_CONNECTION_130MS, FirstJob), (WIRELESS, FirstJob)),
    ),
    at_least(
        2000.0,
        "the same: 5s, told of no connection in ms",
        ours(ToldMs, (LAN_ONE_CONNECTION, Cut(12))),
    ),
    at_most(1500.0, "the same: 1s", ours(ToldMs, (LAN_ONE_CONNECTION_WITHIN_1S, Cut(12)))),
    at_most(0.0, "FAKTORY_READ_TIMEOUT: 30s, a cut of 5 s: unknown", ours(Unknown, (LAN, Cut(5)))),
    at_least(1.0, "the same: 3s", ours(Unknown, (LAN_READ_3S, Cut(5)))),
    at_least(
        1.0,
        "FAKTORY_WRITE_TIMEOUT: 3s, a cut of 5 s: unknown",
        ours(Unknown, (LAN_WRITE_3S, Cut(5))),
    ),
    at_most(
        0.0,
        "FAKTORY_KEEPALIVE_IDLE: below the NAT's time: unknown",
        ours(Unknown, (NAT_KEEPALIVE_5S, Silence)),
    ),
    at_least(1.0, "the same: above it", ours(Unknown, (NAT_READ_3S, Silence))),
    at_least(
        2.0,
        "the same: 1s against 5s, packets",
        ratio(Packets, (NAT_KEEPALIVE_1S, Silence), (NAT_KEEPALIVE_5S, Silence)),
    ),
    at_least(
        59.0,
        "the same: the crate, which waits for ever, in seconds (the benchmark gives up after 60)",
        Figure::Baseline(ToldSeconds, (NAT_READ_3S, Silence)),
    ),
    at_most(5.0, "FAKTORY_BREAKER_FAILURES: 5, told in ms", ours(ToldMs, (LAN_READ_3S, Cut(12)))),
    at_least(1000.0, "the same: 0", ours(ToldMs, (LAN_NO_BREAKER, Cut(12)))),
    at_most(
        2.5,
        "FAKTORY_BREAKER_OPEN: 1s, as before after s",
        ours(ResumedSeconds, (LAN_READ_3S, Cut(5))),
    ),
    at_least(5.0, "the same: 10s", ours(ResumedSeconds, (LAN_BREAKER_10S, Cut(5)))),
    at_most(0.0, "API_REQUEST_TIMEOUT: 60s, wireless: unknown", ours(Unknown, (WIRELESS, Posts))),
    at_least(1.0, "the same: 250ms", ours(Unknown, (WIRELESS_REQUEST_250MS, Posts))),
    at_least(
        20.0,
        "API_MAX_BATCH_JOBS: one client's batches of 10,000 against 100",
        ratio(Rate, (WAN, Batches(10_000)), (WAN, Batches(100))),
    ),
    at_least(
        100.0,
        "API_MAX_QUEUES: the broker's memory for each queue, in bytes",
        Figure::Increase {
            quantity: ServerMemory,
            from: (NEAR_MANY_QUEUES, Queues(1000)),
            to: (NEAR_MANY_QUEUES, Queues(100_000)),
            per: 99_000.0,
        },
    ),
    at_least(
        2.0,
        "COMPRESS_MIN_BYTES: events of 10 KB over 20 Mbit/s, against not",
        ratio(Rate, (LOSSLESS_COMPRESSED, Payloads), (LOSSLESS, Payloads)),
    ),
    at_most(
        2.0,
        "the same: the API's processor time nearby",
        ratio(ApiProcessorUs, (NEAR_COMPRESSED, Payloads), (NEAR, Payloads)),
    ),
    at_least(
        40.0,
        "WORKER_CONCURRENCY: jobs of 10 ms, 50 places against 1",
        ratio(Rate, (WAN, TenMs(50)), (WAN, TenMs(1))),
    ),
    at_least(
        50.0,
        "the same: jobs that use the processor, 500 places against 2: each takes so many times as \
         long",
        ratio(LatencyMs, (NEAR, Busy(500)), (NEAR, Busy(2))),
    ),
    Row {
        what: "the same: and as many go through",
        found: ratio(Rate, (NEAR, Busy(500)), (NEAR, Busy(2))),
        at_least: 0.5,
        at_most: 1.25,
    },
    at_most(
        0.2,
        "WORKER_MAX_FETCH_LANES: no-op jobs by 4 against 64",
        ratio(Rate, (WAN_LANES_4, Noop), (WAN, Noop)),
    ),
    at_most(
        0.2,
        "WORKER_MAX_PREFETCH: 0, 20 places' share with jobs of 10 ms",
        ours(HandlerShare, (WAN_PREFETCH_0, TenMs(20))),
    ),
    at_least(0.9, "the same: 1000", ours(HandlerShare, (WAN, TenMs(20)))),
    at_most(
        1.0,
        "WORKER_JOB_TIMEOUT: none, jobs/s with some that hang",
        ours(Rate, (NEAR, Hanging)),
    ),
    at_least(100.0, "the same: 1s", ours(Rate, (NEAR_JOB_TIMEOUT_1S, Hanging))),
    at_most(
        1.3,
        "WORKER_POLL_INTERVAL_MS: 2000 against 10, 400 jobs after a quiet time: so many times as \
         long",
        ratio(Seconds, (WAN_POLL_2S, Burst), (WAN_POLL_10MS, Burst)),
    ),
    at_most(60.0, "the same: 2000, a lone job's way in ms", ours(LatencyMs, (WAN_POLL_2S, Idle))),
    at_least(
        1.7,
        "SHUTDOWN_TIMEOUT: 60s against 30s by 15 connections",
        ratio(Rate, (WAN_CONNECTIONS_15_SHUTDOWN_60S, Noop), (WAN_CONNECTIONS_15, Noop)),
    ),
    at_most(
        0.3,
        "the same: 5s against 30s by 50",
        ratio(Rate, (WAN_SHUTDOWN_5S, Noop), (WAN, Noop)),
    ),
    at_most(5000.0, "the same: 5s, ended in ms", ours(LatencyMs, (WAN_SHUTDOWN_5S, Ending))),
    at_most(30_000.0, "the same: 30s", ours(LatencyMs, (WAN, Ending))),
    at_most(
        2.0,
        "RUST_LOG: debug against warn: the API's processor time for a single post",
        ratio(ApiProcessorUs, (NEAR_LOG_DEBUG, Singles), (NEAR, Singles)),
    ),
    at_least(
        2.0,
        "profiles: packets of an idle worker, .env.local against .env.wireless",
        ratio(Packets, (WIRELESS_AS_LOCAL, Idle), (WIRELESS_AS_WIRELESS, Idle)),
    ),
];

/// The checks of a report.
pub(in crate::gate) fn checks(report: &Report) -> Vec<Check> {
    let mut checks = long_enough(report, 2.0, 3.0);
    checks.extend(CHECKS.iter().map(|row| Check {
        what: row.what.into(),
        found: row.found.in_report(report),
        at_least: row.at_least,
        at_most: row.at_most,
    }));
    checks
}
