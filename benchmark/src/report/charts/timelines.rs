//! Jobs a second before, during and after a cut of the link.

use super::axis::Axis;
use super::{Chart, Drawing, Look, Section, Series, id, legend};
use crate::report::{Figure, Timeline};

/// The chart of the first run that counts.
pub(super) fn of(figure: &Figure) -> Option<Chart> {
    let run = figure.sound_runs().next()?;
    let timeline = run.timeline.as_ref()?;
    let rate = series(Look::of(figure.via), whole_steps(timeline, run.seconds));
    let series = vec![rate, cut(timeline)];
    let points = || series.iter().flat_map(|series| &series.points);
    Some(Chart {
        id: id(&["timeline", &figure.scenario, &figure.network, figure.via.name()]),
        section: Section::Timelines,
        title: format!("{} · {}: {}", figure.network, figure.scenario, figure.title),
        legend: legend(series.iter().map(|series| series.look)),
        drawing: Drawing::Lines {
            x: Axis::up_to("seconds", points().map(|(seconds, _)| *seconds))?,
            y: Axis::from_zero("jobs a second", points().map(|(_, rate)| *rate))?,
            series,
        },
    })
}

/// The rate of each step, without a last step that the run ended in: its rate would look as if jobs
/// had stopped.
fn whole_steps(timeline: &Timeline, seconds: f64) -> Vec<(f64, f64)> {
    let steps = timeline.jobs_per_second.iter().enumerate();
    let points = steps.map(|(step, rate)| (step as f64 * timeline.step_seconds, *rate));
    points.filter(|(begin, _)| begin + timeline.step_seconds <= seconds + 1e-3).collect()
}

/// A box around the time in which the link is cut, as high as the greatest rate.
fn cut(timeline: &Timeline) -> Series {
    let most = timeline.jobs_per_second.iter().copied().fold(0.0, f64::max);
    let (from, to) = timeline.cut;
    series(Look::Cut, vec![(from, 0.0), (from, most), (to, most), (to, 0.0)])
}

fn series(look: Look, points: Vec<(f64, f64)>) -> Series {
    Series { name: look.text().into(), look, points, labels: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_step_that_is_not_whole_is_not_drawn() {
        let timeline = Timeline {
            step_seconds: 0.5,
            jobs_per_second: vec![10.0, 0.0, 3.0],
            ..Timeline::default()
        };
        assert_eq!(whole_steps(&timeline, 1.001), [(0.0, 10.0), (0.5, 0.0)]);
        assert_eq!(whole_steps(&timeline, 1.5), [(0.0, 10.0), (0.5, 0.0), (1.0, 3.0)]);
    }
}
