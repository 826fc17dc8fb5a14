//! The gate of the broker: how many times Faktory's work it does, beside a Faktory and a server
//! that keeps nothing, under the same raw load.

mod committed;
mod table;

use std::path::PathBuf;

use anyhow::Context;

use super::check::{Check, long_enough};
use super::figures::Figures;
use crate::network::{self, Network};
use crate::part::order::{RawWork, Via};
use crate::progress::Progress;
use crate::report::{Report, Summary};
use crate::runner::Plan;
use crate::runner::side_by_side::{self, BROKER, DISK, FAKTORY, NULL};
use crate::scenario::{Focus, Kind, Scenario};
use crate::stack::ServerKind;

pub(super) use table::render as table;

/// The variable that names the program of a real Faktory.
const PROGRAM: &str = "FAKTORY_BIN";

const ONE_PUSH: &str = "one-push";
const SYNC: &str = "fdatasync";

/// A server may take no more than this share of the null server's rate for its bound.
const OF_CEILING: f64 = 0.7;
/// One PUSH at a time, as a multiple of an fdatasync and an echo: the median.
const ONE_MEDIAN: f64 = 1.3;
/// The 99th percentile of one PUSH at a time, as a multiple of the bound of its median.
const ONE_P99: f64 = 5.0;

/// A kind of work with many commands in flight, and its bounds.
struct Row {
    scenario: &'static str,
    title: &'static str,
    work: RawWork,
    /// How many times Faktory's jobs a second.
    times: f64,
    /// Processor time of the broker a job, in microseconds.
    processor_us: f64,
}

const ROWS: [Row; 4] = [
    Row { scenario: "push", title: "PUSH", work: RawWork::Push, times: 4.0, processor_us: 6.0 },
    Row {
        scenario: "pushb-100",
        title: "PUSHB of 100",
        work: RawWork::PushBatch(100),
        times: 6.0,
        processor_us: 2.5,
    },
    Row {
        scenario: "pushb-1000",
        title: "PUSHB of 1,000",
        work: RawWork::PushBatch(1000),
        times: 6.0,
        processor_us: 2.5,
    },
    Row {
        scenario: "fetch-ack",
        title: "FETCH and ACK",
        work: RawWork::FetchAck,
        times: 6.0,
        processor_us: 15.0,
    },
];

/// The connections of a raw load, and the commands in flight on each.
pub(super) const CONNECTIONS: usize = 8;
pub(super) const DEPTH: usize = 16;

fn is_wanted(network: &str, scenario: &str, _: Via) -> bool {
    (network == DISK) == (scenario == SYNC)
}

pub(super) fn prepare(plan: &mut Plan) -> anyhow::Result<()> {
    anyhow::ensure!(
        !matches!(plan.kind, ServerKind::Given { .. }),
        "this gate starts its own servers, and measures no others"
    );
    if let (ServerKind::Broker, Some(program)) = (&plan.kind, std::env::var_os(PROGRAM)) {
        let program = PathBuf::from(program);
        let found = program.canonicalize();
        plan.kind = ServerKind::Faktory(
            found.with_context(|| format!("{PROGRAM}: {} can't be found", program.display()))?,
        );
    }
    let server =
        |name: &str, title: &str| Network { title: title.into(), ..network::none() }.named(name);
    plan.networks = vec![
        server(BROKER, "the embedded broker, by loopback"),
        server(NULL, "a server that parses lines, answers and keeps nothing"),
        server(DISK, "no server: the file system of the broker's folder"),
    ];
    if matches!(plan.kind, ServerKind::Faktory(_)) {
        plan.networks.insert(1, server(FAKTORY, "a real Faktory, by loopback"));
    }
    plan.scenarios = scenarios();
    plan.pick = Some(is_wanted);
    plan.vias = Vec::new();
    // The servers stand side by side on loopback.
    plan.proxy_because = None;
    Ok(())
}

fn scenarios() -> Vec<Scenario> {
    let of = |row: &Row| Scenario {
        name: row.scenario.into(),
        title: format!("{}: {CONNECTIONS} connections, {DEPTH} commands in flight each", row.title),
        kind: Kind::Raw { work: row.work, connections: CONNECTIONS, depth: DEPTH, queues: 1 },
        focus: Focus::Throughput,
    };
    let mut scenarios: Vec<Scenario> = ROWS.iter().map(of).collect();
    scenarios.push(Scenario {
        name: ONE_PUSH.into(),
        title: "one PUSH at a time on one connection".into(),
        kind: Kind::Raw { work: RawWork::Push, connections: 1, depth: 1, queues: 1 },
        focus: Focus::Latency,
    });
    scenarios.push(Scenario {
        name: SYNC.into(),
        title: "one record of a PUSH's size into a file of zeros, and its fdatasync".into(),
        kind: Kind::Sync,
        focus: Focus::Latency,
    });
    scenarios
}

/// Measures, and adds Faktory's committed figures where no Faktory was measured.
pub(super) fn measure(plan: &Plan, report: &mut Report, progress: &Progress) -> anyhow::Result<()> {
    side_by_side::run(plan, report, progress)?;
    if !plan.networks.iter().any(|network| network.name == FAKTORY) {
        committed::add(report)?;
    }
    Ok(())
}

/// The medians of a scenario on one of the servers.
fn summary<'a>(report: &'a Report, server: &str, scenario: &str) -> Option<&'a Summary> {
    Figures(report).summary((server, scenario, Via::Raw))
}

fn rate(report: &Report, server: &str, scenario: &str) -> Option<f64> {
    summary(report, server, scenario).map(|summary| summary.jobs_per_second.median)
}

/// Processor time of a server a job, in microseconds.
fn processor_us(report: &Report, server: &str, scenario: &str) -> Option<f64> {
    summary(report, server, scenario)?.processor_us_per_job.get("server").copied()
}

pub(super) fn checks(report: &Report) -> Vec<Check> {
    let mut checks = long_enough(report, 7.0, 0.5);
    checks.extend(ROWS.iter().flat_map(|row| many(report, row)));
    checks.extend(one(report));
    checks
}

/// The checks of a kind of work with many commands in flight.
fn many(report: &Report, row: &Row) -> [Check; 2] {
    let faktory = rate(report, FAKTORY, row.scenario);
    let ceiling = rate(report, NULL, row.scenario);
    let bound = faktory.zip(ceiling).map(|(faktory, ceiling)| {
        let (ours, most) = (row.times * faktory, OF_CEILING * ceiling);
        if ours <= most {
            (ours, format!("{} times Faktory", row.times))
        } else {
            (most, format!("{OF_CEILING} of the null server"))
        }
    });
    let (at_least, why) = bound.unwrap_or((f64::INFINITY, "no bound is measured".into()));
    let title = row.title;
    [
        Check::at_least(
            &format!("{title}: jobs a second; {why}"),
            rate(report, BROKER, row.scenario),
            at_least,
        ),
        Check::at_most(
            &format!("{title}: processor time of the broker a job, µs"),
            processor_us(report, BROKER, row.scenario),
            row.processor_us,
        ),
    ]
}

/// The checks of one PUSH at a time.
fn one(report: &Report) -> [Check; 2] {
    let median = |server, scenario| Some(summary(report, server, scenario)?.p50_us.median);
    let p99 = summary(report, BROKER, ONE_PUSH).map(|one| one.p99_us.median);
    let least = median(DISK, SYNC).zip(median(NULL, ONE_PUSH));
    let bound = least.map_or(0.0, |(sync, echo)| ONE_MEDIAN * (sync + echo));
    [
        Check::at_most(
            "one PUSH at a time: median in µs; 1.3 times an fdatasync and an echo",
            median(BROKER, ONE_PUSH),
            bound,
        ),
        Check::at_most(
            "one PUSH at a time: p99 in µs; 5 times the bound of the median",
            p99,
            ONE_P99 * bound,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Latency;
    use crate::report::machine::Machine;
    use crate::report::{Figure, Run};
    use crate::scenario::Parameters;

    /// A report with this rate of each server, and a latency of 100 µs of everything.
    fn report(broker: f64, faktory: f64, null: f64) -> Report {
        let mut report = Report::begin(Machine::this(), Parameters::default(), Vec::new());
        let rates = [(BROKER, broker), (FAKTORY, faktory), (NULL, null), (DISK, 1.0)];
        for (network, jobs_per_second) in rates {
            for scenario in scenarios() {
                if !is_wanted(network, &scenario.name, Via::Raw) {
                    continue;
                }
                let latency =
                    Latency { count: 1000, p50_us: 100, p99_us: 100, ..Latency::default() };
                let mut figure = Figure {
                    network: network.into(),
                    scenario: scenario.name,
                    title: String::new(),
                    focus: scenario.focus,
                    via: Via::Raw,
                    summary: None,
                    runs: vec![Run {
                        jobs_per_second,
                        latency,
                        processor_us_per_job: [("server".to_owned(), 2.0)].into(),
                        ..Run::default()
                    }],
                };
                figure.summarise();
                report.figures.push(figure);
            }
        }
        report
    }

    /// The checks of rates that miss.
    fn missed(report: &Report) -> usize {
        ROWS.iter().filter(|row| !many(report, row).iter().all(Check::is_met)).count()
    }

    #[test]
    fn the_bound_is_the_lower_one_of_faktorys_multiple_and_the_ceilings_share() {
        assert_eq!(missed(&report(600.0, 100.0, 10_000.0)), 0);
        assert_eq!(missed(&report(599.0, 100.0, 10_000.0)), 3, "a PUSH has a lower bound");
        assert_eq!(missed(&report(399.0, 100.0, 10_000.0)), 4);
        assert_eq!(missed(&report(70.0, 100.0, 100.0)), 0, "0.7 of the ceiling");
        assert_eq!(missed(&report(69.0, 100.0, 100.0)), 4);
    }

    #[test]
    fn without_a_faktory_or_a_null_server_nothing_is_met() {
        for server in [FAKTORY, NULL] {
            let mut report = report(1e9, 100.0, 1e9);
            report.figures.retain(|figure| figure.network != server);
            assert_eq!(missed(&report), 4, "{server}");
        }
    }

    #[test]
    fn one_push_at_a_time_is_bound_by_a_sync_and_an_echo() {
        let checks = one(&report(1.0, 1.0, 1.0));
        assert!(checks.iter().all(Check::is_met), "{checks:?}");
        assert!((checks[0].at_most - 260.0).abs() < 1e-9);
        assert!((checks[1].at_most - 1300.0).abs() < 1e-9);
    }
}
