//! The gate of endings: workers are told to end under load and after their queue has run dry, start
//! and end at random, and lose their link.

use std::time::Duration;

use super::check::Check;
use super::figures::{Figures, ratio};
use crate::chaos::Chaos;
use crate::network;
use crate::part::order::Via;
use crate::report::Report;
use crate::runner::Plan;
use crate::scenario::{Focus, Kind, Scenario};

const WAN: &str = "wan-50";
const WIRELESS: &str = "wireless-10";

const LOADED: &str = "ends-under-load";
const DRY: &str = "ends-when-dry";
const CHAOS: &str = "chaos";
const CUTS: [(&str, u64); 3] = [("cut-5s", 5), ("cut-30s", 30), ("cut-5min", 300)];

/// The longest time from the end of a cut until jobs run as before, in seconds: the worker notices
/// the dead connections and makes new ones. TCP's own retransmissions may come later than that.
const RESUMED_WITHIN: f64 = 15.0;
/// The concurrency of each worker in the chaos: a kill cuts at most this many runs short.
const CHAOS_CONCURRENCY: usize = 2;
/// The most jobs that a killed worker held: those in its slots, and as many again that had ended
/// without a confirmed ACK or had not begun.
const HELD_AT_MOST: f64 = 2.0 * CHAOS_CONCURRENCY as f64;
/// The shutdown timeout of the workers, in seconds.
const SHUTDOWN_SECONDS: u64 = 30;

fn is_wanted(network: &str, scenario: &str, via: Via) -> bool {
    let is_cut = CUTS.iter().any(|(name, _)| *name == scenario);
    via == Via::Worker
        && (matches!((network, scenario), (WAN, LOADED | DRY) | (WIRELESS, CHAOS))
            || (network == WAN && is_cut))
}

pub(super) fn prepare(plan: &mut Plan) -> anyhow::Result<()> {
    plan.networks = vec![
        network::wan().with_connections(WAN, 50).with_shutdown_timeout(SHUTDOWN_SECONDS),
        network::wireless().with_connections(WIRELESS, 10).with_shutdown_timeout(SHUTDOWN_SECONDS),
    ];
    plan.scenarios = scenarios();
    // Each measurement repeats its case many times.
    plan.parameters.repetitions = 1;
    plan.pick = Some(is_wanted);
    plan.vias = Vec::new();
    Ok(())
}

fn scenarios() -> Vec<Scenario> {
    let scenario = |name: &str, title: &str, kind| Scenario {
        name: name.into(),
        title: title.into(),
        kind,
        focus: Focus::Duration,
    };
    let mut scenarios = vec![
        scenario(
            LOADED,
            "a worker is told to end under full load; 50 times",
            Kind::Ending { concurrency: 15, times: 50, dry: false },
        ),
        scenario(
            DRY,
            "a worker is told to end a second after its queue ran dry, while a few jobs still \
             come; 20 times",
            Kind::Ending { concurrency: 15, times: 20, dry: true },
        ),
        scenario(
            CHAOS,
            "20 workers of concurrency 2 come and go for five minutes",
            Kind::Chaos {
                workers: 20,
                concurrency: CHAOS_CONCURRENCY,
                lasts: Duration::from_secs(300),
            },
        ),
    ];
    scenarios.extend(CUTS.iter().map(|(name, seconds)| {
        let (takes, lasts) = (Duration::from_millis(10), Duration::from_secs(*seconds));
        let title = format!(
            "the link is cut for {seconds} s under a worker with concurrency 20 and jobs of 10 ms"
        );
        scenario(name, &title, Kind::Cut { concurrency: 20, takes, lasts })
    }));
    scenarios
}

/// The checks of a report. A job that is lost, doubled or retried needs no check: it fails its run.
pub(super) fn checks(report: &Report) -> Vec<Check> {
    let run = |network: &str, scenario: &str| {
        Figures(report).runs((network, scenario, Via::Worker)).next()
    };
    let longest = |scenario: &str| run(WAN, scenario).map(|run| run.latency.max_us as f64 / 1e6);
    let mut checks: Vec<Check> = CUTS
        .iter()
        .map(|(scenario, seconds)| {
            let resumed = run(WAN, scenario).and_then(|run| run.timeline.as_ref()?.resumed_seconds);
            let what = format!("a cut of {seconds} s: until jobs run as before, s");
            Check::at_most(&what, resumed, RESUMED_WITHIN)
        })
        .collect();
    checks.extend([
        Check::at_most(
            "under full load, 50 times: the longest until the worker had ended, s",
            longest(LOADED),
            SHUTDOWN_SECONDS as f64,
        ),
        Check::at_most(
            "after the queue ran dry, 20 times: the longest, s",
            longest(DRY),
            SHUTDOWN_SECONDS as f64,
        ),
    ]);
    checks.extend(chaos_checks(run(WIRELESS, CHAOS).and_then(|run| run.chaos.as_ref())));
    checks
}

fn chaos_checks(chaos: Option<&Chaos>) -> [Check; 5] {
    let count = |of: fn(&Chaos) -> u64| chaos.map(|chaos| of(chaos) as f64);
    let each_kill = |of| ratio(count(of), count(|chaos| chaos.killed));
    [
        Check::at_least("chaos: workers killed", count(|chaos| chaos.killed), 100.0),
        Check::at_least("chaos: jobs", count(|chaos| chaos.jobs), 50_000.0),
        Check::at_most(
            "chaos: runs that a kill cut short, for each kill",
            each_kill(|chaos| chaos.cut_short),
            CHAOS_CONCURRENCY as f64,
        ),
        Check::at_most(
            "chaos: second runs, for each kill",
            each_kill(|chaos| chaos.second_runs),
            HELD_AT_MOST,
        ),
        Check::at_most(
            "chaos: jobs that may not be retried and were lost, for each kill",
            each_kill(|chaos| chaos.lost_once_only),
            HELD_AT_MOST,
        ),
    ]
}
