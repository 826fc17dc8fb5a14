//! Which charts the page shows, with every range, tick and place: the page only draws them.

mod axis;
mod depths;
mod latency;
mod ratios;
mod throughput;
mod timelines;

use serde::Serialize;

use super::baseline::Standing;
use super::{Figure, Report};
use crate::part::order::Via;
use crate::scenario::Focus;
use axis::Axis;

/// A chart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Chart {
    id: String,
    section: Section,
    title: String,
    legend: Vec<Entry>,
    drawing: Drawing,
}

/// The parts of the page that hold charts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Section {
    Ratios,
    Throughput,
    Networks,
    Latency,
    Timelines,
    Depths,
}

/// The form of a chart.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "form")]
enum Drawing {
    /// Lines over two axes.
    Lines { x: Axis, y: Axis, series: Vec<Series> },
    /// Bars, one below the other, each with its name and its value in words.
    Bars { bars: Vec<Bar> },
}

/// A line.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Series {
    name: String,
    look: Look,
    points: Vec<(f64, f64)>,
    /// What the points are at; none where the axis says so.
    labels: Vec<String>,
}

/// A bar, whose ends are shares of the space that all bars of the chart have.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Bar {
    name: String,
    look: Look,
    value: f64,
    text: String,
    from: f64,
    to: f64,
}

/// A line of the legend.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Entry {
    look: Look,
    text: String,
}

/// The look of a line or a bar: the page has a colour for each, and dashes for what is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Look {
    Http,
    Link,
    Worker,
    Crate,
    Raw,
    /// The time in which the link is cut.
    Cut,
    Ahead,
    Level,
    Behind,
}

impl Look {
    const fn of(via: Via) -> Self {
        match via {
            Via::Http => Self::Http,
            Via::Link => Self::Link,
            Via::Worker => Self::Worker,
            Via::Crate => Self::Crate,
            Via::Raw => Self::Raw,
        }
    }

    const fn standing(standing: Standing) -> Self {
        match standing {
            Standing::Ahead => Self::Ahead,
            Standing::Level => Self::Level,
            Standing::Behind => Self::Behind,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Http => "Work Factory, over HTTP",
            Self::Link => "Work Factory, bare link",
            Self::Worker => "Work Factory, worker",
            Self::Crate => "faktory crate",
            Self::Raw => "prepared bytes over bare sockets",
            Self::Cut => "the link is cut",
            Self::Ahead => "Work Factory ahead",
            Self::Level => "level",
            Self::Behind => "faktory crate ahead",
        }
    }
}

/// A legend with an entry for each look, in the order of appearance.
fn legend(looks: impl IntoIterator<Item = Look>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for look in looks {
        if !entries.iter().any(|entry| entry.look == look) {
            entries.push(Entry { look, text: look.text().into() });
        }
    }
    entries
}

/// All charts of a report.
pub(super) fn of(report: &Report) -> Vec<Chart> {
    let mut charts = ratios::of(report);
    for scenario in scenarios(report) {
        match scenario.focus {
            Focus::Latency => charts.extend(latency::of(report, &scenario)),
            Focus::Throughput | Focus::Duration => {
                charts.extend(throughput::of(report, &scenario));
            }
        }
    }
    charts.extend(report.figures.iter().filter_map(timelines::of));
    charts.extend(report.figures.iter().flat_map(depths::of));
    charts
}

/// A scenario that a report has figures of.
struct Measured<'a> {
    name: &'a str,
    title: &'a str,
    focus: Focus,
}

/// Each scenario once, in the order measured.
fn scenarios(report: &Report) -> Vec<Measured<'_>> {
    let mut scenarios: Vec<Measured<'_>> = Vec::new();
    for Figure { scenario, title, focus, .. } in &report.figures {
        if !scenarios.iter().any(|known| known.name == scenario) {
            scenarios.push(Measured { name: scenario, title, focus: *focus });
        }
    }
    scenarios
}

/// The ways by which these figures were measured, each once, ours first.
fn vias<'a>(figures: impl Iterator<Item = &'a Figure>) -> Vec<Via> {
    let mut vias: Vec<Via> = figures.map(|figure| figure.via).collect();
    vias.sort_unstable();
    vias.dedup();
    vias
}

/// A name that may stand in an element's id.
fn id(words: &[&str]) -> String {
    let text = words.join("-");
    text.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_never_has_the_look_of_a_lead() {
        let looks = [Standing::Ahead, Standing::Level, Standing::Behind].map(Look::standing);
        assert_eq!(looks, [Look::Ahead, Look::Level, Look::Behind]);
    }

    #[test]
    fn a_legend_names_each_look_once() {
        let texts: Vec<String> =
            legend([Look::Http, Look::Crate, Look::Http]).into_iter().map(|one| one.text).collect();
        assert_eq!(texts, ["Work Factory, over HTTP", "faktory crate"]);
    }

    #[test]
    fn an_id_has_letters_and_digits_alone() {
        assert_eq!(id(&["timeline", "wan A_B=1"]), "timeline-wan-A-B-1");
    }
}
