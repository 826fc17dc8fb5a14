//! The gate of depth: with millions of queued jobs the broker does what it does with few, and many
//! connections and queues cost what few do.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::broker::{CONNECTIONS, DEPTH};
use super::check::{Check, long_enough};
use super::figures::{At, Figures};
use super::hostile::{P99_MS, P99_TIMES, PER_SECOND, WORST_MS, WORST_TIMES};
use crate::network::{self, Network};
use crate::part::order::{RawWork, Via};
use crate::report::{Report, Run};
use crate::runner::Plan;
use crate::runner::side_by_side::{DEEP, FEW, SHALLOW};
use crate::scenario::{Focus, Kind, Large, Scenario};
use crate::stack::ServerKind;

/// The queued jobs of the deep broker.
const QUEUED: u64 = 10_000_000;
/// Of these, one in this many is pushed once more, scheduled: a million.
const SCHEDULED: u64 = 10;

const FILL: &str = "fill";
const PUSH: &str = "push";
const CYCLE: &str = "cycle";
const PUSH_MANY: &str = "push-many";
const CYCLE_MANY: &str = "cycle-many";
const RESTART: &str = "restart";
const DUE: &str = "due";
const BESIDE_NOTHING: &str = "beside-nothing";
const BESIDE_DUE: &str = "beside-due";
const BESIDE_REMOVE: &str = "beside-remove";

/// The most that more jobs, connections or queues may cost, as a multiple.
const COSTS: f64 = 1.2;
/// The largest resident memory of the deep broker, in megabytes.
const RESIDENT_MB: f64 = 250.0;
/// The longest start after SIGKILL, in seconds.
const RESTART_SECONDS: f64 = 2.0;
/// The longest time until jobs that are due are in their queues, in seconds.
const DUE_SECONDS: f64 = 10.0;

/// Many connections, and many queues.
const MANY: usize = 1000;

fn is_wanted(network: &str, scenario: &str, _: Via) -> bool {
    match scenario {
        PUSH | CYCLE => true,
        PUSH_MANY | CYCLE_MANY => network == SHALLOW,
        _ => network == DEEP,
    }
}

pub(super) fn prepare(plan: &mut Plan) -> anyhow::Result<()> {
    anyhow::ensure!(
        matches!(plan.kind, ServerKind::Broker),
        "this gate starts its own brokers, and measures no other work server"
    );
    let queued = *plan.parameters.queued.get_or_insert(QUEUED);
    let broker = |name: &str, queued: u64| {
        let title = format!("the embedded broker, by loopback; {queued} jobs are queued");
        Network { title, ..network::none() }.named(name)
    };
    plan.networks = vec![broker(SHALLOW, FEW), broker(DEEP, queued)];
    plan.scenarios = scenarios(queued);
    plan.pick = Some(is_wanted);
    plan.vias = Vec::new();
    plan.proxy_because = None;
    Ok(())
}

fn scenarios(queued: u64) -> Vec<Scenario> {
    let scenario =
        |name: &str, title: String, kind, focus| Scenario { name: name.into(), title, kind, focus };
    let load = |name, what, work, connections: usize, queues: usize| {
        scenario(
            name,
            format!("{what}: {connections} connections, {queues} queues, {DEPTH} in flight each"),
            Kind::Raw { work, connections, depth: DEPTH, queues },
            Focus::Throughput,
        )
    };
    let cycle = "PUSH, then FETCH, then ACK";
    let jobs = queued / SCHEDULED;
    let mut scenarios = vec![
        scenario(
            FILL,
            "filled by PUSHBs of 1,000: 4 connections, 4 in flight each".into(),
            Kind::Fill,
            Focus::Throughput,
        ),
        load(PUSH, "PUSH", RawWork::Push, CONNECTIONS, 1),
        load(PUSH_MANY, "PUSH", RawWork::Push, MANY, MANY),
        load(CYCLE, cycle, RawWork::Cycle, CONNECTIONS, 1),
        load(CYCLE_MANY, cycle, RawWork::Cycle, MANY, MANY),
        scenario(
            RESTART,
            "killed while it is pushed to, and started again".into(),
            Kind::Restart,
            Focus::Latency,
        ),
        scenario(
            DUE,
            format!("{jobs} scheduled jobs become due within a second"),
            Kind::Due { jobs },
            Focus::Latency,
        ),
    ];
    scenarios.extend(beside(jobs).map(|(name, what, event)| {
        let title = format!("single jobs, {PER_SECOND} a second by our link, {what}");
        scenario(name, title, Kind::Beside { event, per_second: PER_SECOND }, Focus::Latency)
    }));
    scenarios
}

/// What happens beside single jobs; the removal comes last, because it takes all that was queued.
fn beside(jobs: u64) -> [(&'static str, String, Large); 3] {
    let due = format!("while {jobs} others become due within a second");
    [
        (BESIDE_NOTHING, "and nothing else".into(), Large::Nothing),
        (BESIDE_DUE, due, Large::Due { jobs }),
        (BESIDE_REMOVE, "while the queue of all others is removed".into(), Large::Remove),
    ]
}

pub(super) fn checks(report: &Report) -> Vec<Check> {
    let queued = report.parameters.queued.map(|jobs| jobs as f64);
    let mut checks = long_enough(report, 5.0, 0.5);
    checks.push(Check::at_least("queued jobs", queued, QUEUED as f64));
    for (what, more, less) in [
        ("PUSH, many jobs queued against few", (DEEP, PUSH), (SHALLOW, PUSH)),
        ("PUSH, FETCH and ACK, many jobs queued against few", (DEEP, CYCLE), (SHALLOW, CYCLE)),
        (
            "PUSH, 1,000 connections and queues against 8 and 1",
            (SHALLOW, PUSH_MANY),
            (SHALLOW, PUSH),
        ),
        (
            "PUSH, FETCH and ACK, 1,000 connections and queues against 8 and 1",
            (SHALLOW, CYCLE_MANY),
            (SHALLOW, CYCLE),
        ),
    ] {
        checks.extend(costs(report, what, more, less));
    }
    let seconds = |scenario| {
        let summary = Figures(report).summary((DEEP, scenario, Via::Raw))?;
        Some(summary.p50_us.median / 1e6)
    };
    checks.extend([
        Check::at_most("resident memory of the deep broker, MB", resident_mb(report), RESIDENT_MB),
        Check::at_most("start after SIGKILL, s", seconds(RESTART), RESTART_SECONDS),
        Check::at_most(
            "from the first due time until all due jobs are in their queue, s",
            seconds(DUE),
            DUE_SECONDS,
        ),
    ]);
    checks.extend([BESIDE_DUE, BESIDE_REMOVE].into_iter().flat_map(|name| posts(report, name)));
    checks
}

/// The latencies of single posts while something large happens, by the bounds of the gate of
/// hostile clients: a slow machine is slow without it too.
fn posts(report: &Report, scenario: &str) -> [Check; 2] {
    let ms = |scenario: &str, of: fn(&Run) -> u64| {
        let runs = Figures(report).runs((DEEP, scenario, Via::Raw));
        runs.map(of).max().map(|us| us as f64 / 1e3)
    };
    let check = |what: &str, of, least: f64, times: f64| {
        let most = ms(BESIDE_NOTHING, of).map_or(least, |quiet| least.max(times * quiet));
        Check::at_most(&format!("{scenario}: {what} of single posts, ms"), ms(scenario, of), most)
    };
    [
        check("p99", |run| run.latency.p99_us, P99_MS, P99_TIMES),
        check("worst", |run| run.latency.max_us, WORST_MS, WORST_TIMES),
    ]
}

/// Processor time a job, and jobs a second, of one figure against another.
fn costs(report: &Report, what: &str, more: (&str, &str), less: (&str, &str)) -> [Check; 2] {
    let at = |(network, scenario)| -> At<'_> { (network, scenario, Via::Raw) };
    let paired = |ratio: fn(&Run, &Run) -> f64| Figures(report).paired(at(more), at(less), ratio);
    [
        Check::at_most(
            &format!("{what}: processor time a job, times"),
            paired(|more, less| processor_us(more) / processor_us(less)),
            COSTS,
        ),
        Check::at_most(
            &format!("{what}: time a job, times"),
            paired(|more, less| less.jobs_per_second / more.jobs_per_second),
            COSTS,
        ),
    ]
}

fn processor_us(run: &Run) -> f64 {
    run.processor_us_per_job.get("server").copied().unwrap_or(f64::NAN)
}

/// The largest resident memory at the end of a measurement.
fn resident_mb(report: &Report) -> Option<f64> {
    let runs = of_deep(report).filter_map(|run| run.resident_bytes.get("server"));
    runs.max().map(|bytes| *bytes as f64 / 1e6)
}

fn of_deep(report: &Report) -> impl Iterator<Item = &Run> {
    let figures = report.figures.iter().filter(|figure| figure.network == DEEP);
    figures.flat_map(|figure| &figure.runs)
}

/// Rates, processor time, memory and disk of each measurement.
pub(super) fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["", "jobs queued", "jobs/s", "µs a job", "resident MB", "disk MB"]);
    for figure in &report.figures {
        let Some(summary) = &figure.summary else { continue };
        let rate = summary.jobs_per_second;
        let largest = |of: fn(&Run) -> Option<u64>| {
            let bytes = figure.sound_runs().filter_map(of).max();
            bytes.map_or_else(String::new, |bytes| format!("{:.0}", bytes as f64 / 1e6))
        };
        let processor = summary.processor_us_per_job.get("server");
        table.add_row([
            figure.scenario.clone(),
            figure.network.clone(),
            format!("{:.0} ({:.0} – {:.0})", rate.median, rate.min, rate.max),
            processor.map_or_else(String::new, |us| format!("{us:.1}")),
            largest(|run| run.resident_bytes.get("server").copied()),
            largest(|run| run.disk_bytes),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Latency;
    use crate::report::Figure;
    use crate::report::machine::Machine;
    use crate::scenario::Parameters;

    /// A report in which this figure costs `times` as much as all others, and every other bound is
    /// met.
    fn report(which: (&str, &str), times: f64) -> Report {
        let parameters =
            Parameters { repetitions: 7, queued: Some(QUEUED), ..Parameters::default() };
        let mut report = Report::begin(Machine::this(), parameters, Vec::new());
        for network in [SHALLOW, DEEP] {
            for scenario in scenarios(QUEUED) {
                if !is_wanted(network, &scenario.name, Via::Raw) {
                    continue;
                }
                let times = if which == (network, scenario.name.as_str()) { times } else { 1.0 };
                let mut figure = Figure {
                    network: network.into(),
                    scenario: scenario.name,
                    title: String::new(),
                    focus: scenario.focus,
                    via: Via::Raw,
                    summary: None,
                    runs: vec![Run {
                        jobs_per_second: 1000.0 / times,
                        latency: Latency {
                            count: 1,
                            p50_us: (1e6 * times) as u64,
                            ..Latency::default()
                        },
                        processor_us_per_job: [("server".to_owned(), times)].into(),
                        resident_bytes: [("server".to_owned(), (50e6 * times) as u64)].into(),
                        ..Run::default()
                    }],
                };
                figure.summarise();
                report.figures.push(figure);
            }
        }
        report
    }

    fn missed(which: (&str, &str), times: f64) -> usize {
        checks(&report(which, times)).iter().filter(|check| !check.is_met()).count()
    }

    #[test]
    fn what_costs_more_with_many_jobs_connections_or_queues_is_a_miss() {
        for which in [(DEEP, PUSH), (DEEP, CYCLE), (SHALLOW, PUSH_MANY), (SHALLOW, CYCLE_MANY)] {
            assert_eq!(missed(which, 1.19), 0, "{which:?}");
            assert_eq!(missed(which, 1.21), 2, "{which:?}");
        }
    }

    #[test]
    fn memory_and_the_times_of_a_start_and_of_due_jobs_have_bounds() {
        assert_eq!((missed((DEEP, RESTART), 2.0), missed((DEEP, RESTART), 2.1)), (0, 1));
        assert_eq!(missed((DEEP, DUE), 4.9), 0);
        assert_eq!(missed((DEEP, DUE), 5.1), 1, "memory");
        assert_eq!(missed((DEEP, DUE), 10.1), 2, "memory and time");
    }

    #[test]
    fn single_posts_beside_something_large_have_the_bounds_of_those_beside_hostile_clients() {
        let found = |quiet: u64, beside: u64| {
            let mut report = report((DEEP, PUSH), 1.0);
            for figure in &mut report.figures {
                let us = if figure.scenario == BESIDE_NOTHING { quiet } else { beside };
                for run in &mut figure.runs {
                    (run.latency.p99_us, run.latency.max_us) = (us, us);
                }
            }
            checks(&report).iter().filter(|check| !check.is_met()).count()
        };
        assert_eq!((found(1000, 5000), found(1000, 5001)), (0, 2));
        assert_eq!((found(4000, 12_000), found(4000, 12_001)), (0, 2));
        assert_eq!(found(1000, 100_001), 4, "and the worst of each");
    }

    #[test]
    fn fewer_jobs_are_no_gate() {
        let mut report = report((DEEP, PUSH), 1.0);
        report.parameters.queued = Some(QUEUED - 1);
        assert_eq!(checks(&report).iter().filter(|check| !check.is_met()).count(), 1);
    }
}
