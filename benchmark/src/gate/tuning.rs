//! The gate of the advice in `docs/tuning.md`: what each variable does when it is too low, and when
//! it is too high.

mod checks;

use std::time::Duration;

pub(super) use checks::checks;

use crate::network::{self, Network};
use crate::part::order::Via;
use crate::runner::Plan;
use crate::scenario::{Focus, Kind, Mix, Pace, Scenario};
use crate::stack::ServerKind;

/// A network with some variables, and what is measured there.
type Row = (Network, &'static [&'static str]);

const NEAR: &str = "near";
const LAN: &str = "lan";
const WAN: &str = "wan";
const WIRELESS: &str = "wireless";
const LOSSLESS: &str = "lossless";
const NAT: &str = "nat";

const NOOP: &str = "noop-50";
const SHORT: &str = "10ms-20";
const SUSTAINED: &str = "sustained";
const LARGE: &str = "batch-10000-first";
const IDLE: &str = "idle";
const BURST: &str = "burst";
const ENDING: &str = "ending";
const SHORT_CUT: &str = "cut-5s";
const CUT: &str = "cut-12s";
const POSTS: &str = "posts";
const SILENCE: &str = "silence";
const PAYLOADS: &str = "payloads";
const HANGING: &str = "hanging";
const SINGLES: &str = "singles";
const READY: &str = "ready";

/// A dead link is noticed soon.
const SOON: (&str, &str) = ("FAKTORY_READ_TIMEOUT", "3s");
/// Connections where nothing is said: the product's default.
const CONNECTIONS: usize = 50;

fn row(base: &str, variables: &[(&str, &str)], scenarios: &'static [&'static str]) -> Row {
    (network(base).with_variables(variables.iter().copied()), scenarios)
}

/// With all that a profile says.
fn profile(base: &str, name: &str, text: &str, scenarios: &'static [&'static str]) -> Row {
    let lines =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    let variables = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let network = network(base);
    let title = format!("{}; {name}", network.title);
    (Network { name: format!("{base} {name}"), title, variables, ..network }, scenarios)
}

fn network(base: &str) -> Network {
    let ms = Duration::from_millis;
    let known = || network::all().into_iter().find(|network| network.name == base);
    match base {
        LOSSLESS => network::lossless(LOSSLESS),
        NAT => Network::with_round_trip(NAT, "10 ms", ms(10)).with_forgetful_nat(NAT, NAT_FORGETS),
        _ => known().unwrap_or_else(|| {
            Network::with_round_trip(NEAR, "0.1 ms", Duration::from_micros(100))
        }),
    }
}

/// What is measured where.
fn rows() -> Vec<Row> {
    vec![
        // The product's defaults.
        row(NEAR, &[], &[HANGING, SINGLES, PAYLOADS, "busy-2", "busy-50", "busy-500", "queues-1"]),
        row(LAN, &[], &[SHORT_CUT, CUT]),
        row(
            WAN,
            &[],
            &[
                NOOP,
                SHORT,
                SUSTAINED,
                LARGE,
                IDLE,
                BURST,
                ENDING,
                "10ms-1",
                "10ms-50",
                "batch-100",
                "batch-1000",
                "batch-10000",
            ],
        ),
        row(WIRELESS, &[], &[POSTS, SHORT_CUT, IDLE, READY]),
        row(LOSSLESS, &[], &[PAYLOADS]),
        row(NAT, &[SOON], &[SILENCE]),
        // One thing changed.
        row(WAN, &[("FAKTORY_MAX_CONNECTIONS", "1")], &[SUSTAINED, LARGE]),
        row(WAN, &[("FAKTORY_MAX_CONNECTIONS", "5")], &[NOOP]),
        row(WAN, &[("FAKTORY_MAX_CONNECTIONS", "15")], &[NOOP, SUSTAINED, LARGE, "10ms-50"]),
        row(WAN, &[("FAKTORY_MAX_CONNECTIONS", "30")], &[NOOP]),
        row(WAN, &[("FAKTORY_MAX_CONNECTIONS", "15"), ("SHUTDOWN_TIMEOUT", "60s")], &[NOOP]),
        row(WAN, &[("SHUTDOWN_TIMEOUT", "5s")], &[NOOP, ENDING]),
        row(LAN, &[SOON], &[SHORT_CUT, CUT]),
        row(LAN, &[("FAKTORY_WRITE_TIMEOUT", "3s")], &[SHORT_CUT]),
        row(LAN, &[SOON, ("FAKTORY_BREAKER_FAILURES", "0")], &[CUT]),
        // With one connection, all wait for the next.
        row(
            LAN,
            &[SOON, ("FAKTORY_BREAKER_FAILURES", "0"), ("FAKTORY_MAX_CONNECTIONS", "1")],
            &[CUT],
        ),
        row(
            LAN,
            &[
                SOON,
                ("FAKTORY_BREAKER_FAILURES", "0"),
                ("FAKTORY_MAX_CONNECTIONS", "1"),
                ("FAKTORY_CONNECTION_TIMEOUT", "1s"),
            ],
            &[CUT],
        ),
        // The circuit opens after 3 s of a cut of 5 s.
        row(LAN, &[SOON, ("FAKTORY_BREAKER_OPEN", "10s")], &[SHORT_CUT]),
        row(LAN, &[SOON, ("FAKTORY_BREAKER_OPEN", "100ms")], &[SHORT_CUT]),
        row(WIRELESS, &[("FAKTORY_CONNECTION_TIMEOUT", "130ms")], &[READY]),
        row(WIRELESS, &[("API_REQUEST_TIMEOUT", "250ms")], &[POSTS]),
        row(
            NAT,
            &[SOON, ("FAKTORY_KEEPALIVE_IDLE", "5s"), ("FAKTORY_KEEPALIVE_INTERVAL", "5s")],
            &[SILENCE],
        ),
        row(
            NAT,
            &[SOON, ("FAKTORY_KEEPALIVE_IDLE", "1s"), ("FAKTORY_KEEPALIVE_INTERVAL", "1s")],
            &[SILENCE],
        ),
        row(NEAR, &[("API_MAX_QUEUES", "1000000")], &["queues-1000", "queues-100000"]),
        row(LOSSLESS, &[("COMPRESS_MIN_BYTES", "2KiB")], &[PAYLOADS]),
        row(NEAR, &[("COMPRESS_MIN_BYTES", "2KiB")], &[PAYLOADS]),
        row(WAN, &[("WORKER_MAX_FETCH_LANES", "4")], &[NOOP]),
        row(WAN, &[("WORKER_MAX_FETCH_LANES", "14")], &[NOOP]),
        row(WAN, &[("WORKER_MAX_PREFETCH", "0")], &[NOOP, SHORT]),
        row(WAN, &[("WORKER_MAX_PREFETCH", "100")], &[NOOP, SHORT]),
        row(NEAR, &[("WORKER_JOB_TIMEOUT", "1s")], &[HANGING]),
        row(WAN, &[("WORKER_POLL_INTERVAL_MS", "10")], &[IDLE, BURST]),
        row(WAN, &[("WORKER_POLL_INTERVAL_MS", "2000")], &[IDLE, BURST]),
        row(NEAR, &[("RUST_LOG", "info")], &[SINGLES]),
        row(NEAR, &[("RUST_LOG", "debug")], &[SINGLES]),
        row(NEAR, &[("RUST_LOG", "debug"), ("LOG_FORMAT", "json")], &[SINGLES]),
        // Whole profiles.
        profile(WIRELESS, ".env.local", include_str!("../../../.env.local"), &[SHORT_CUT, IDLE]),
        profile(
            WIRELESS,
            ".env.wireless",
            include_str!("../../../.env.wireless"),
            &[SHORT_CUT, IDLE],
        ),
    ]
}

/// Silence after which the NAT forgets; nothing else speaks that often by itself.
const NAT_FORGETS: Duration = Duration::from_secs(8);
/// The silence between two jobs.
const SILENCE_LASTS: Duration = Duration::from_secs(12);

fn is_wanted(network: &str, scenario: &str, via: Via) -> bool {
    let is_measured =
        rows().iter().any(|(one, scenarios)| one.name == network && scenarios.contains(&scenario));
    let is_compared = matches!((network, scenario), (LAN, CUT))
        || (scenario == SILENCE && !network.contains("KEEPALIVE"));
    is_measured && (via == Via::Http || via == Via::Worker || (via == Via::Crate && is_compared))
}

pub(super) fn prepare(plan: &mut Plan) -> anyhow::Result<()> {
    let is_given = matches!(plan.kind, ServerKind::Given { .. });
    anyhow::ensure!(
        !is_given && plan.proxy_because.is_none(),
        "this gate changes variables and the network: it needs servers and a link of its own"
    );
    plan.networks = rows().into_iter().map(|(network, _)| network).collect();
    plan.parameters.connections = CONNECTIONS;
    let ms = Duration::from_millis;
    let mut scenarios = Vec::new();
    let mut add = |name: &str, title: String, kind, focus| {
        scenarios.push(Scenario { name: name.into(), title, kind, focus })
    };
    let enqueue = |batch, clients| Kind::Enqueue { batch, pace: Pace::Clients(clients) };
    let work = |concurrency, takes| Kind::Work { concurrency, mix: Mix::All(takes) };
    add(
        NOOP,
        "a worker with concurrency 50 runs jobs that do nothing".into(),
        work(50, Duration::ZERO),
        Focus::Throughput,
    );
    for (name, places) in [("10ms-1", 1), (SHORT, 20), ("10ms-50", 50)] {
        add(
            name,
            format!("a worker with concurrency {places} runs jobs of 10 ms"),
            work(places, ms(10)),
            Focus::Throughput,
        );
    }
    for (name, places) in [("busy-2", 2), ("busy-50", 50), ("busy-500", 500)] {
        let kind = Kind::Busy { concurrency: places, takes: ms(5) };
        add(
            name,
            format!("a worker with concurrency {places} runs jobs that use the processor for 5 ms"),
            kind,
            Focus::Latency,
        );
    }
    let kind = Kind::Hanging { concurrency: 20 };
    add(
        HANGING,
        "a worker with concurrency 20 runs jobs of 10 ms, of which every twentieth never ends"
            .into(),
        kind,
        Focus::Throughput,
    );
    let kind = Kind::Idle { concurrency: 15, jobs: 10 };
    add(
        IDLE,
        "10 jobs come at random moments to a worker that has nothing to do".into(),
        kind,
        Focus::Latency,
    );
    let kind = Kind::Sharing { workers: 1, concurrency: 20, jobs: 400, takes: ms(100) };
    add(
        BURST,
        "400 jobs of 100 ms come at once to a worker with concurrency 20 that has nothing to do"
            .into(),
        kind,
        Focus::Duration,
    );
    let kind = Kind::Ending { concurrency: 50, times: 1, dry: true };
    add(
        ENDING,
        "a worker is told to end a second after its queue has run dry".into(),
        kind,
        Focus::Latency,
    );
    add(SUSTAINED, "64 clients post batches of 100".into(), enqueue(100, 64), Focus::Throughput);
    add(SINGLES, "64 clients post one job at a time".into(), enqueue(1, 64), Focus::Throughput);
    for (name, batch) in [("batch-100", 100), ("batch-1000", 1000), ("batch-10000", 10_000)] {
        add(
            name,
            format!("one client posts batches of {batch}, one after the other"),
            enqueue(batch, 1),
            Focus::Throughput,
        );
    }
    let kind = Kind::AfterReady { batch: 10_000, requests: 1, times: 3 };
    add(
        LARGE,
        "a batch of 10,000 as soon as a fresh API is ready; 3 times".into(),
        kind,
        Focus::Latency,
    );
    let kind = Kind::AfterReady { batch: 1, requests: 1, times: 10 };
    add(READY, "one job as soon as a fresh API is ready; 10 times".into(), kind, Focus::Latency);
    let kind = Kind::Payloads { clients: 16, batch: 10 };
    add(
        PAYLOADS,
        "16 clients post batches of 10 jobs with args of 10 KB (lists of events)".into(),
        kind,
        Focus::Throughput,
    );
    for (name, queues) in [("queues-1", 1), ("queues-1000", 1000), ("queues-100000", 100_000)] {
        add(
            name,
            format!("100,000 jobs are posted into {queues} queues"),
            Kind::Queues { jobs: 100_000, queues },
            Focus::Duration,
        );
    }
    let kind = Kind::Posting { clients: 64, cut: Duration::ZERO };
    add(
        POSTS,
        "64 clients post one job at a time, whatever becomes of it".into(),
        kind,
        Focus::Latency,
    );
    for (name, seconds) in [(SHORT_CUT, 5), (CUT, 12)] {
        let kind = Kind::Posting { clients: 16, cut: Duration::from_secs(seconds) };
        add(
            name,
            format!("16 clients post one job at a time, and the link is cut for {seconds} s"),
            kind,
            Focus::Throughput,
        );
    }
    let kind = Kind::Silence { lasts: SILENCE_LASTS, times: 2 };
    add(
        SILENCE,
        format!("one job, {SILENCE_LASTS:?} of silence, and another; twice"),
        kind,
        Focus::Latency,
    );
    plan.scenarios = scenarios;
    plan.pick = Some(is_wanted);
    plan.vias = Vec::new();
    Ok(())
}

#[cfg(test)]
mod tests {
    use link_emulator::{DirectionCounters, Verdict};

    use super::*;
    use crate::distance::Watched;
    use crate::part::order::Refused;
    use crate::report::machine::Machine;
    use crate::report::{Figure, Report, Run, Timeline};
    use crate::scenario::Parameters;

    #[test]
    fn every_check_asks_for_what_is_measured() {
        let mut report = Report::begin(Machine::this(), Parameters::default(), Vec::new());
        for (network, scenarios) in rows() {
            for (scenario, via) in scenarios.iter().flat_map(|scenario| {
                [Via::Http, Via::Worker, Via::Crate].map(|via| (*scenario, via))
            }) {
                if !is_wanted(&network.name, scenario, via) {
                    continue;
                }
                let timeline = Timeline { resumed_seconds: Some(1.0), ..Timeline::default() };
                let watched = Watched {
                    near_to_far: DirectionCounters::default(),
                    far_to_near: DirectionCounters::default(),
                    verdict: Verdict::Sound,
                };
                let run = Run {
                    handler_share: Some(1.0),
                    ready_us: Some(1.0),
                    refused: Some(Refused::default()),
                    timeline: Some(timeline),
                    link: Some(watched),
                    processor_us_per_job: [("api".to_owned(), 1.0)].into(),
                    resident_bytes: [("server".to_owned(), 1)].into(),
                    ..Run::default()
                };
                let (network, scenario) = (network.name.clone(), scenario.to_owned());
                let figure = Figure {
                    network,
                    scenario,
                    title: String::new(),
                    focus: Focus::Latency,
                    via,
                    summary: None,
                    runs: vec![run],
                };
                report.figures.push(figure);
            }
        }
        for check in checks(&report) {
            assert!(check.found.is_some(), "{}", check.what);
        }
    }

    #[test]
    fn every_network_has_a_name_of_its_own_and_every_variable_is_the_products() {
        let rows = rows();
        for (place, (network, scenarios)) in rows.iter().enumerate() {
            assert!(
                !scenarios.is_empty()
                    && rows.iter().skip(place + 1).all(|(other, _)| other.name != network.name),
                "{}",
                network.name
            );
            let is_known = |name: &String| {
                service_runtime::VARIABLES.iter().any(|variable| variable.name == name)
            };
            assert!(network.variables.keys().all(is_known), "{}", network.name);
        }
    }
}
