//! What must be so for the advice to hold.

use super::{
    BURST, CUT, ENDING, HANGING, IDLE, LAN, LARGE, LOSSLESS, NEAR, NOOP, PAYLOADS, POSTS, READY,
    SHORT, SHORT_CUT, SILENCE, SINGLES, SUSTAINED, WAN, WIRELESS,
};
use crate::gate::{Check, long_enough};
use crate::measure::Spread;
use crate::part::order::Via;
use crate::report::{Report, Run};

/// Figures of a report, by network and scenario; ours, where nothing else is said.
struct Found<'a>(&'a Report);

impl Found<'_> {
    fn runs(&self, network: &str, scenario: &str, via: Via) -> impl Iterator<Item = &Run> {
        let figure = self.0.figure(network, scenario, via);
        figure.into_iter().flat_map(|figure| figure.runs.iter()).filter(|run| run.is_sound())
    }

    /// The median of the runs that count.
    fn median(
        &self,
        network: &str,
        scenario: &str,
        of: impl Fn(&Run) -> Option<f64>,
    ) -> Option<f64> {
        let ours =
            [Via::Http, Via::Worker].into_iter().flat_map(|via| self.runs(network, scenario, via));
        Spread::of(ours.filter_map(of)).map(|spread| spread.median)
    }

    fn rate(&self, network: &str, scenario: &str) -> Option<f64> {
        self.median(network, scenario, |run| Some(run.jobs_per_second))
    }

    fn share(&self, network: &str, scenario: &str) -> Option<f64> {
        self.median(network, scenario, |run| run.handler_share)
    }

    fn p50_ms(&self, network: &str, scenario: &str) -> Option<f64> {
        self.median(network, scenario, |run| Some(run.latency.p50_us as f64 / 1e3))
    }

    fn unknown(&self, network: &str, scenario: &str) -> Option<f64> {
        self.median(network, scenario, |run| Some(run.counts.unknown as f64))
    }

    fn seconds(&self, network: &str, scenario: &str) -> Option<f64> {
        self.median(network, scenario, |run| Some(run.seconds))
    }

    fn resumed(&self, network: &str, scenario: &str) -> Option<f64> {
        self.median(network, scenario, |run| run.timeline.as_ref()?.resumed_seconds)
    }

    /// How soon callers were told of jobs that were not stored, in ms: the median.
    fn told_ms(&self, network: &str, scenario: &str) -> Option<f64> {
        self.median(network, scenario, |run| {
            Some(run.refused.as_ref()?.latency.p50_us as f64 / 1e3)
        })
    }

    fn packets(&self, network: &str, scenario: &str) -> Option<f64> {
        self.median(network, scenario, |run| Some(run.link.as_ref()?.near_to_far.packets as f64))
    }

    fn processor_us(&self, network: &str, scenario: &str, process: &str) -> Option<f64> {
        self.median(network, scenario, |run| run.processor_us_per_job.get(process).copied())
    }

    fn memory(&self, network: &str, scenario: &str, process: &str) -> Option<f64> {
        self.median(network, scenario, |run| {
            run.resident_bytes.get(process).map(|bytes| *bytes as f64)
        })
    }
}

pub(in crate::gate) fn checks(report: &Report) -> Vec<Check> {
    const FIVE: &str = "wan FAKTORY_MAX_CONNECTIONS=5";
    const FIFTEEN: &str = "wan FAKTORY_MAX_CONNECTIONS=15";
    const READ_3S: &str = "lan FAKTORY_READ_TIMEOUT=3s";
    const QUEUES: &str = "near API_MAX_QUEUES=1000000";
    let found = Found(report);
    let least = |what: &str, found: Option<f64>, bound| Check::at_least(what, found, bound);
    let most = |what: &str, found: Option<f64>, bound| Check::at_most(what, found, bound);
    let ratio = |one: Option<f64>, other: Option<f64>| Some(one? / other?);
    let per_queue = || {
        Some(
            (found.memory(QUEUES, "queues-100000", "server")?
                - found.memory(QUEUES, "queues-1000", "server")?)
                / 99_000.0,
        )
    };
    let crate_told = Spread::of(
        found
            .runs("nat FAKTORY_READ_TIMEOUT=3s", SILENCE, Via::Crate)
            .filter_map(|run| Some(run.refused.as_ref()?.latency.p50_us as f64)),
    );
    let kept =
        "nat FAKTORY_READ_TIMEOUT=3s FAKTORY_KEEPALIVE_IDLE=5s FAKTORY_KEEPALIVE_INTERVAL=5s";
    let often =
        "nat FAKTORY_READ_TIMEOUT=3s FAKTORY_KEEPALIVE_IDLE=1s FAKTORY_KEEPALIVE_INTERVAL=1s";
    let no_breaker = "lan FAKTORY_READ_TIMEOUT=3s FAKTORY_BREAKER_FAILURES=0";
    let mut checks = long_enough(report, 2.0, 3.0);
    checks.extend([
        least(
            "FAKTORY_MAX_CONNECTIONS: batches by 1 against 50",
            ratio(
                found.rate("wan FAKTORY_MAX_CONNECTIONS=1", SUSTAINED),
                found.rate(WAN, SUSTAINED),
            ),
            0.8,
        ),
        least(
            "the same: a first batch of 10,000 by 1, times as long as by 15",
            ratio(
                found.p50_ms("wan FAKTORY_MAX_CONNECTIONS=1", LARGE),
                found.p50_ms(FIFTEEN, LARGE),
            ),
            1.3,
        ),
        least(
            "the same: a worker's no-op jobs by 15 against 5",
            ratio(found.rate(FIFTEEN, NOOP), found.rate(FIVE, NOOP)),
            2.5,
        ),
        least(
            "the same: by 50 against 15",
            ratio(found.rate(WAN, NOOP), found.rate(FIFTEEN, NOOP)),
            2.5,
        ),
        most(
            "the same: 50 places' share with jobs of 10 ms by 15",
            found.share(FIFTEEN, "10ms-50"),
            0.6,
        ),
        least("the same: by 50", found.share(WAN, "10ms-50"), 0.9),
        least(
            "FAKTORY_CONNECTION_TIMEOUT: as short as the way, an API is ready so many times as \
             late",
            ratio(
                found
                    .median("wireless FAKTORY_CONNECTION_TIMEOUT=130ms", READY, |run| run.ready_us),
                found.median(WIRELESS, READY, |run| run.ready_us),
            ),
            1.3,
        ),
        least(
            "the same: 5s, told of no connection in ms",
            found.told_ms(
                "lan FAKTORY_READ_TIMEOUT=3s FAKTORY_BREAKER_FAILURES=0 FAKTORY_MAX_CONNECTIONS=1",
                CUT,
            ),
            2000.0,
        ),
        most(
            "the same: 1s",
            found.told_ms(
                "lan FAKTORY_READ_TIMEOUT=3s FAKTORY_BREAKER_FAILURES=0 FAKTORY_MAX_CONNECTIONS=1 \
                 FAKTORY_CONNECTION_TIMEOUT=1s",
                CUT,
            ),
            1500.0,
        ),
        most(
            "FAKTORY_READ_TIMEOUT: 30s, a cut of 5 s: unknown",
            found.unknown(LAN, SHORT_CUT),
            0.0,
        ),
        least("the same: 3s", found.unknown(READ_3S, SHORT_CUT), 1.0),
        least(
            "FAKTORY_WRITE_TIMEOUT: 3s, a cut of 5 s: unknown",
            found.unknown("lan FAKTORY_WRITE_TIMEOUT=3s", SHORT_CUT),
            1.0,
        ),
        most(
            "FAKTORY_KEEPALIVE_IDLE: below the NAT's time: unknown",
            found.unknown(kept, SILENCE),
            0.0,
        ),
        least("the same: above it", found.unknown("nat FAKTORY_READ_TIMEOUT=3s", SILENCE), 1.0),
        least(
            "the same: 1s against 5s, packets",
            ratio(found.packets(often, SILENCE), found.packets(kept, SILENCE)),
            2.0,
        ),
        least(
            "the same: the crate, which waits for ever, in seconds (the benchmark gives up after \
             60)",
            crate_told.map(|spread| spread.median / 1e6),
            59.0,
        ),
        most("FAKTORY_BREAKER_FAILURES: 5, told in ms", found.told_ms(READ_3S, CUT), 5.0),
        least("the same: 0", found.told_ms(no_breaker, CUT), 1000.0),
        most("FAKTORY_BREAKER_OPEN: 1s, as before after s", found.resumed(READ_3S, SHORT_CUT), 2.5),
        least(
            "the same: 10s",
            found.resumed("lan FAKTORY_READ_TIMEOUT=3s FAKTORY_BREAKER_OPEN=10s", SHORT_CUT),
            5.0,
        ),
        most("API_REQUEST_TIMEOUT: 60s, wireless: unknown", found.unknown(WIRELESS, POSTS), 0.0),
        least("the same: 250ms", found.unknown("wireless API_REQUEST_TIMEOUT=250ms", POSTS), 1.0),
        least(
            "API_MAX_BATCH_JOBS: one client's batches of 10,000 against 100",
            ratio(found.rate(WAN, "batch-10000"), found.rate(WAN, "batch-100")),
            20.0,
        ),
        least("API_MAX_QUEUES: the broker's memory for each queue, in bytes", per_queue(), 100.0),
        least(
            "COMPRESS_MIN_BYTES: events of 10 KB over 20 Mbit/s, against not",
            ratio(
                found.rate("lossless COMPRESS_MIN_BYTES=2KiB", PAYLOADS),
                found.rate(LOSSLESS, PAYLOADS),
            ),
            2.0,
        ),
        most(
            "the same: the API's processor time nearby",
            ratio(
                found.processor_us("near COMPRESS_MIN_BYTES=2KiB", PAYLOADS, "api"),
                found.processor_us(NEAR, PAYLOADS, "api"),
            ),
            2.0,
        ),
        least(
            "WORKER_CONCURRENCY: jobs of 10 ms, 50 places against 1",
            ratio(found.rate(WAN, "10ms-50"), found.rate(WAN, "10ms-1")),
            40.0,
        ),
        least(
            "the same: jobs that use the processor, 500 places against 2: each takes so many \
             times as long",
            ratio(found.p50_ms(NEAR, "busy-500"), found.p50_ms(NEAR, "busy-2")),
            50.0,
        ),
        Check {
            at_most: 1.25,
            ..least(
                "the same: and as many go through",
                ratio(found.rate(NEAR, "busy-500"), found.rate(NEAR, "busy-2")),
                0.5,
            )
        },
        most(
            "WORKER_MAX_FETCH_LANES: no-op jobs by 4 against 64",
            ratio(found.rate("wan WORKER_MAX_FETCH_LANES=4", NOOP), found.rate(WAN, NOOP)),
            0.2,
        ),
        most(
            "WORKER_MAX_PREFETCH: 0, 20 places' share with jobs of 10 ms",
            found.share("wan WORKER_MAX_PREFETCH=0", SHORT),
            0.2,
        ),
        least("the same: 1000", found.share(WAN, SHORT), 0.9),
        most(
            "WORKER_JOB_TIMEOUT: none, jobs/s with some that hang",
            found.rate(NEAR, HANGING),
            1.0,
        ),
        least("the same: 1s", found.rate("near WORKER_JOB_TIMEOUT=1s", HANGING), 100.0),
        most(
            "WORKER_POLL_INTERVAL_MS: 2000 against 10, 400 jobs after a quiet time: so many times \
             as long",
            ratio(
                found.seconds("wan WORKER_POLL_INTERVAL_MS=2000", BURST),
                found.seconds("wan WORKER_POLL_INTERVAL_MS=10", BURST),
            ),
            1.3,
        ),
        most(
            "the same: 2000, a lone job's way in ms",
            found.p50_ms("wan WORKER_POLL_INTERVAL_MS=2000", IDLE),
            60.0,
        ),
        least(
            "SHUTDOWN_TIMEOUT: 60s against 30s by 15 connections",
            ratio(
                found.rate("wan FAKTORY_MAX_CONNECTIONS=15 SHUTDOWN_TIMEOUT=60s", NOOP),
                found.rate(FIFTEEN, NOOP),
            ),
            1.7,
        ),
        most(
            "the same: 5s against 30s by 50",
            ratio(found.rate("wan SHUTDOWN_TIMEOUT=5s", NOOP), found.rate(WAN, NOOP)),
            0.3,
        ),
        most("the same: 5s, ended in ms", found.p50_ms("wan SHUTDOWN_TIMEOUT=5s", ENDING), 5000.0),
        most("the same: 30s", found.p50_ms(WAN, ENDING), 30_000.0),
        most(
            "RUST_LOG: debug against warn: the API's processor time for a single post",
            ratio(
                found.processor_us("near RUST_LOG=debug", SINGLES, "api"),
                found.processor_us(NEAR, SINGLES, "api"),
            ),
            2.0,
        ),
        least(
            "profiles: packets of an idle worker, .env.local against .env.wireless",
            ratio(
                found.packets("wireless .env.local", IDLE),
                found.packets("wireless .env.wireless", IDLE),
            ),
            2.0,
        ),
    ]);
    checks
}
