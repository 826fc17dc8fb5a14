//! The report: what was measured, on what, and how sure it is. As JSON it is the record; table and
//! page are views of it.

pub(crate) mod compare;
pub(crate) mod machine;
pub(crate) mod page;
pub(crate) mod readme;
pub(crate) mod table;

mod baseline;
mod charts;
mod depth;
mod figure;
mod highlights;
mod json;
mod numbers;
mod run;
mod summary;
mod timeline;

use std::path::Path;

use anyhow::Context;
use link_emulator::CongestionControl;
use serde::{Deserialize, Serialize};

use crate::distance::Means;
use crate::network::Network;
use crate::part::order::Via;
use crate::scenario::Parameters;
use machine::Machine;

pub(crate) use depth::{Beside, Depth};
pub(crate) use figure::Figure;
pub(crate) use run::{Counts, Run};
pub(crate) use summary::Summary;
pub(crate) use timeline::Timeline;

/// The format of the JSON document.
const FORMAT: u32 = 1;

/// A report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) format: u32,
    /// RFC 3339, when the run began.
    pub(crate) began: String,
    /// How long the run took, in seconds.
    pub(crate) took_seconds: f64,
    /// The words that the program was started with.
    pub(crate) command: Vec<String>,
    pub(crate) machine: Machine,
    /// The work server's name and version.
    pub(crate) work_server: String,
    pub(crate) distance: Means,
    pub(crate) congestion: Option<CongestionControl>,
    pub(crate) parameters: Parameters,
    pub(crate) networks: Vec<MeasuredNetwork>,
    pub(crate) figures: Vec<Figure>,
    /// What a reader must know before the figures.
    pub(crate) warnings: Vec<String>,
}

/// A network and the round trip found on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MeasuredNetwork {
    #[serde(flatten)]
    pub(crate) network: Network,
    /// TCP's handshake, in milliseconds: the median of the repetitions.
    pub(crate) round_trip_ms: f64,
}

impl Report {
    /// A report without figures.
    pub(crate) fn begin(machine: Machine, parameters: Parameters, command: Vec<String>) -> Self {
        Self {
            format: FORMAT,
            began: machine::now(),
            took_seconds: 0.0,
            command,
            machine,
            work_server: String::new(),
            distance: Means::Given,
            congestion: None,
            parameters,
            networks: Vec::new(),
            figures: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The figure of a scenario on a network by one way.
    pub(crate) fn figure(&self, network: &str, scenario: &str, via: Via) -> Option<&Figure> {
        self.figures.iter().find(|figure| {
            figure.network == network && figure.scenario == scenario && figure.via == via
        })
    }

    /// Adds runs to the figure of a scenario on a network by one way.
    pub(crate) fn add_runs(
        &mut self,
        (network, scenario, via): (&str, &str, Via),
        runs: impl IntoIterator<Item = Run>,
    ) {
        let mut figures = self.figures.iter_mut();
        if let Some(figure) = figures.find(|figure| {
            figure.network == network && figure.scenario == scenario && figure.via == via
        }) {
            figure.runs.extend(runs);
            figure.summarise();
        }
    }

    /// Everything that makes the run a failure: jobs lost or doubled, errors, and figures of which
    /// no run counts.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for figure in &self.figures {
            let name = format!("{} · {} · {}", figure.network, figure.scenario, figure.via.name());
            failures.extend(
                figure.runs.iter().flat_map(|run| {
                    run.failures.iter().map(|failure| format!("{name}: {failure}"))
                }),
            );
            if figure.summary.is_none() {
                failures.push(format!("{name}: no run counts"));
            }
        }
        failures
    }

    /// A report from its JSON document.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        let report: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is no report of this benchmark", path.display()))?;
        anyhow::ensure!(
            report.format == FORMAT,
            "{} has format {}, this program reads {FORMAT}",
            path.display(),
            report.format
        );
        Ok(report)
    }

    /// The JSON document.
    pub(crate) fn to_json(&self) -> anyhow::Result<String> {
        Ok(json::lay_out(&serde_json::to_string(self)?))
    }
}
