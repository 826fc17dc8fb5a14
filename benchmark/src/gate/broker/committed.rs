//! Faktory's figures as they were committed, for a run that has no Faktory beside it.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::report::Report;
use crate::runner::side_by_side::FAKTORY;

/// The report whose figures of Faktory stand in.
fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results/gate-broker-before.json")
}

/// Adds the committed figures of Faktory, and says in the title of their table that they are not
/// of this run. An error where there is no such report.
pub(super) fn add(report: &mut Report) -> anyhow::Result<()> {
    let committed = Report::read(&path()).context("no FAKTORY_BIN, and no committed figures")?;
    stand_in(report, committed);
    Ok(())
}

fn stand_in(report: &mut Report, committed: Report) {
    let Report { began, machine, figures, networks, .. } = committed;
    let faktory = networks.into_iter().find(|network| network.network.name == FAKTORY);
    report.networks.extend(faktory.map(|mut faktory| {
        faktory.network.title = format!(
            "NOT MEASURED in this run: the committed figures of {began}, {}, {} cores",
            machine.processor, machine.cores
        );
        faktory
    }));
    report.figures.extend(figures.into_iter().filter(|figure| figure.network == FAKTORY));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::machine::Machine;
    use crate::scenario::Parameters;

    #[test]
    fn the_committed_figures_of_faktory_say_that_they_are_not_of_this_run() {
        let committed = Report::read(&path()).unwrap();
        let mut report = Report::begin(Machine::this(), Parameters::default(), Vec::new());
        stand_in(&mut report, committed);
        assert_eq!(report.networks.len(), 1);
        assert!(report.networks[0].network.title.starts_with("NOT MEASURED"));
        assert_eq!(report.figures.len(), 5);
        assert!(report.figures.iter().all(|figure| figure.summary.is_some()));
    }
}
