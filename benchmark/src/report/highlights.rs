//! The report in short: the strongest and the weakest results first, then the headline cases.

use serde::Serialize;

use super::baseline::{self, Comparison, Standing};
use super::numbers::{count, seconds, times};
use super::{Figure, MeasuredNetwork, Report, Run};
use crate::part::order::Via;
use crate::scenario::Focus;

/// A network is far from this round trip on, and near up to a tenth of it.
const FAR_MS: f64 = 50.0;

/// A result in a few words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Highlight {
    /// What is shown, above the value.
    over: String,
    value: String,
    /// What was done, below the value.
    text: String,
    /// Who is ahead, where something is compared.
    standing: Option<Standing>,
}

/// The results that a reader should see first.
pub(super) fn of(report: &Report) -> Vec<Highlight> {
    let mut highlights = extremes(report);
    highlights.extend(distance(report));
    highlights.extend(lost(report));
    highlights.extend(workers(report));
    highlights.extend(cuts(report));
    highlights.extend(report.figures.iter().filter_map(|figure| headline(report, figure)));
    highlights
}

/// The greatest lead over the faktory crate, and the greatest loss or else the smallest lead.
fn extremes(report: &Report) -> Vec<Highlight> {
    let mut compared: Vec<(&Figure, Comparison)> = report
        .figures
        .iter()
        .filter_map(|figure| Some((figure, baseline::compare(report, figure)?)))
        .collect();
    compared.sort_by(|(_, one), (_, other)| other.ratio.total_cmp(&one.ratio));
    match compared.as_slice() {
        [] => Vec::new(),
        [only] => vec![against("against the faktory crate", only)],
        [strongest, .., weakest] => {
            vec![against("strongest result", strongest), against("weakest result", weakest)]
        }
    }
}

fn against(over: &str, (figure, comparison): &(&Figure, Comparison)) -> Highlight {
    let measure = match figure.focus {
        Focus::Throughput | Focus::Duration => "the jobs a second of the faktory crate",
        Focus::Latency => "as fast as the faktory crate, by the median latency",
    };
    Highlight {
        over: format!("{over} · {}", figure.network),
        value: times(comparison.ratio),
        text: format!("{measure}: {}", said(figure)),
        standing: Some(comparison.standing),
    }
}

/// What was done, and by which way.
fn said(figure: &Figure) -> String {
    let way = match figure.via {
        Via::Http => "over HTTP",
        Via::Link => "by the bare link",
        Via::Worker => "Work Factory's worker",
        Via::Crate => "the faktory crate",
        Via::Raw => "prepared bytes over bare sockets",
    };
    format!("{} ({way})", figure.title)
}

/// The scenario that keeps most of its nearby rate on a network that is far and nothing else:
/// without loss or a limited rate, with a work server at full speed and default variables.
fn distance(report: &Report) -> Option<Highlight> {
    let rates: Vec<(&Figure, f64, f64)> =
        report.figures.iter().filter_map(|figure| plain_rate(report, figure)).collect();
    let kept = rates.iter().filter(|(_, far_ms, _)| *far_ms >= FAR_MS).filter_map(|far| {
        let near = rates
            .iter()
            .filter(|(figure, ..)| (&figure.scenario, figure.via) == (&far.0.scenario, far.0.via))
            .filter(|(_, near_ms, _)| *near_ms <= FAR_MS / 10.0)
            .min_by(|one, other| one.1.total_cmp(&other.1))?;
        Some((far, near, far.2 / near.2))
    });
    let (far, near, share) = kept.max_by(|one, other| one.2.total_cmp(&other.2))?;
    Some(Highlight {
        over: format!("kept over the distance · {}", far.0.network),
        value: format!("{:.0} %", share * 100.0),
        text: format!(
            "of the jobs a second at {:.1} ms are left at {:.0} ms: {}",
            near.1,
            far.1,
            said(far.0)
        ),
        standing: None,
    })
}

/// A figure of ours on a network that has a round trip and nothing else, with its round trip and
/// its jobs a second.
fn plain_rate<'a>(report: &Report, figure: &'a Figure) -> Option<(&'a Figure, f64, f64)> {
    let network = report.networks.iter().find(|one| one.network.name == figure.network)?;
    let is_ours = !figure.via.is_baseline() && figure.focus == Focus::Throughput;
    (is_ours && is_plain(network)).then_some(())?;
    Some((figure, network.round_trip_ms, rate(figure)?))
}

fn is_plain(network: &MeasuredNetwork) -> bool {
    let link = &network.network.near_to_far;
    let is_server_free = network.network.server_jobs_per_second.is_none();
    let is_default = network.network.variables.is_empty();
    link.rate.is_none() && link.loss == 0.0 && is_server_free && is_default
}

fn rate(figure: &Figure) -> Option<f64> {
    let rate = figure.summary.as_ref()?.jobs_per_second.median;
    (rate > 0.0).then_some(rate)
}

fn sound_runs(report: &Report) -> impl Iterator<Item = &Run> {
    report.figures.iter().flat_map(Figure::sound_runs)
}

/// How many jobs were lost, where jobs were looked for.
fn lost(report: &Report) -> Option<Highlight> {
    let failures = report.failures().len();
    if failures > 0 {
        return Some(Highlight {
            over: "not as it should be".into(),
            value: count(failures as u64),
            text: "failures, which are named above".into(),
            standing: Some(Standing::Behind),
        });
    }
    let stored: u64 = sound_runs(report).map(|run| run.counts.stored).sum();
    (stored > 0).then(|| Highlight {
        over: "jobs lost".into(),
        value: "none".into(),
        text: format!(
            "of {} jobs that were answered as stored: every one was found again, or run",
            count(stored)
        ),
        standing: None,
    })
}

/// How many workers came and went while jobs ran.
fn workers(report: &Report) -> Option<Highlight> {
    let all = || sound_runs(report).filter_map(|run| run.chaos.as_ref());
    let killed: u64 = all().map(|chaos| chaos.killed).sum();
    let ended: u64 = all().map(|chaos| chaos.ended).sum();
    let jobs: u64 = all().map(|chaos| chaos.jobs).sum();
    let again: u64 = all().map(|chaos| chaos.second_runs).sum();
    (jobs > 0).then(|| Highlight {
        over: "workers that came and went".into(),
        value: count(killed + ended),
        text: format!(
            "{} killed, {} told to end, while {} jobs were run; {} jobs ran a second time",
            count(killed),
            count(ended),
            count(jobs),
            count(again)
        ),
        standing: None,
    })
}

/// How long after a cut of the link jobs went through as before: the range over all networks.
fn cuts(report: &Report) -> Vec<Highlight> {
    let mut cuts: Vec<(&str, Vec<f64>)> = Vec::new();
    for figure in report.figures.iter().filter(|figure| !figure.via.is_baseline()) {
        let Some(resumed) = figure.resumed_seconds() else { continue };
        match cuts.iter_mut().find(|(title, _)| *title == figure.title) {
            Some((_, known)) => known.push(resumed),
            None => cuts.push((&figure.title, vec![resumed])),
        }
    }
    let highlight = |(title, all): (&str, Vec<f64>)| {
        let least = seconds(all.iter().copied().fold(f64::MAX, f64::min));
        let most = seconds(all.iter().copied().fold(0.0, f64::max));
        Highlight {
            over: "after a cut of the link".into(),
            value: if least == most { most } else { format!("{least} to {most}") },
            text: format!("until jobs go through as before: {title}"),
            standing: None,
        }
    };
    cuts.into_iter().map(highlight).collect()
}

/// A number of jobs that was measured from the first to the last.
fn headline(report: &Report, ours: &Figure) -> Option<Highlight> {
    let is_product = matches!(ours.via, Via::Http | Via::Worker);
    let has_timeline = ours.runs.iter().any(|run| run.timeline.is_some());
    if ours.focus != Focus::Duration || !is_product || has_timeline {
        return None;
    }
    rate(ours)?;
    let comparison = baseline::compare(report, ours);
    let theirs = report.figure(&ours.network, &ours.scenario, Via::Crate);
    let theirs = theirs.and_then(|figure| figure.summary.as_ref());
    let against = theirs.zip(comparison).map(|(theirs, comparison)| {
        format!(
            ". The faktory crate {} {} ({} the jobs a second)",
            if theirs.cut_short { "was not done after" } else { "took" },
            seconds(theirs.seconds.median),
            times(comparison.ratio)
        )
    });
    Some(Highlight {
        over: ours.network.clone(),
        value: seconds(ours.summary.as_ref()?.seconds.median),
        text: format!("{}{}", ours.title, against.unwrap_or_default()),
        standing: comparison.map(|comparison| comparison.standing),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::network::Network;
    use crate::report::machine::Machine;
    use crate::report::{Counts, Timeline};
    use crate::scenario::Parameters;

    fn report(rates: &[(&str, Via, f64)]) -> Report {
        let mut report = Report::begin(Machine::this(), Parameters::default(), Vec::new());
        for (name, round_trip_ms) in [("near", 0.1), ("wan", 100.0)] {
            let round_trip = Duration::from_secs_f64(round_trip_ms / 1e3);
            let network = Network::with_round_trip(name, name, round_trip);
            report.networks.push(MeasuredNetwork { network, round_trip_ms });
        }
        for (network, via, jobs_per_second) in rates {
            let counts = Counts { stored: 1000, arrived: 1000, ..Counts::default() };
            let jobs_per_second = *jobs_per_second;
            let mut figure = Figure {
                network: (*network).into(),
                scenario: "sustained".into(),
                title: "clients post".into(),
                focus: Focus::Throughput,
                via: *via,
                summary: None,
                runs: vec![Run { jobs_per_second, counts, ..Run::default() }],
            };
            figure.summarise();
            report.figures.push(figure);
        }
        report
    }

    fn values(report: &Report) -> Vec<(String, String, Option<Standing>)> {
        of(report).into_iter().map(|one| (one.over, one.value, one.standing)).collect()
    }

    #[test]
    fn the_strongest_and_the_weakest_result_come_first() {
        let report = report(&[
            ("near", Via::Http, 500.0),
            ("near", Via::Crate, 1000.0),
            ("wan", Via::Http, 400.0),
            ("wan", Via::Crate, 10.0),
        ]);
        let expected = [
            ("strongest result · wan", "40.0 ×", Some(Standing::Ahead)),
            ("weakest result · near", "0.50 ×", Some(Standing::Behind)),
            ("kept over the distance · wan", "80 %", None),
            ("jobs lost", "none", None),
        ];
        let expected =
            expected.map(|(over, value, standing)| (over.into(), value.into(), standing));
        assert_eq!(values(&report), expected);
    }

    #[test]
    fn without_a_baseline_nothing_is_compared_and_a_failure_is_told() {
        let mut report = report(&[("wan", Via::Http, 400.0)]);
        assert_eq!(values(&report), [("jobs lost".into(), "none".into(), None)]);
        report.figures[0].runs[0].failures.push("a job was lost".into());
        let failed = ("not as it should be".into(), "1".into(), Some(Standing::Behind));
        assert_eq!(values(&report), [failed]);
    }

    #[test]
    fn cuts_of_one_scenario_are_one_range() {
        let mut report = report(&[("near", Via::Http, 500.0), ("wan", Via::Http, 400.0)]);
        for (figure, seconds) in report.figures.iter_mut().zip([0.375, 2.5]) {
            let timeline = Timeline { resumed_seconds: Some(seconds), ..Timeline::default() };
            figure.runs[0].timeline = Some(timeline);
        }
        let cuts = values(&report).into_iter().find(|(over, ..)| over.contains("cut"));
        assert_eq!(cuts.unwrap().1, "375 ms to 2.50 s");
    }
}
