//! A check: a figure, its bounds, and whether the figure is within these bounds.

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;

use crate::report::Report;

/// One figure and its bounds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Check {
    /// The name of the figure.
    pub(crate) what: String,
    /// `None` where the figure was not measured, which is a miss.
    pub(crate) found: Option<f64>,
    pub(crate) at_least: f64,
    pub(crate) at_most: f64,
}

impl Check {
    pub(super) fn at_least(what: &str, found: Option<f64>, at_least: f64) -> Self {
        Self { what: what.into(), found, at_least, at_most: f64::INFINITY }
    }

    pub(super) fn at_most(what: &str, found: Option<f64>, at_most: f64) -> Self {
        Self { what: what.into(), found, at_least: 0.0, at_most }
    }

    pub(crate) fn is_met(&self) -> bool {
        self.found.is_some_and(|found| (self.at_least..=self.at_most).contains(&found))
    }
}

/// Checks that the figures of a gate are medians of this many measurements of this many seconds.
/// Shorter measurements are for work on the gate itself.
pub(super) fn long_enough(report: &Report, repetitions: f64, seconds: f64) -> Vec<Check> {
    let parameters = &report.parameters;
    vec![
        Check::at_least(
            "measurements of each figure",
            Some(parameters.repetitions as f64),
            repetitions,
        ),
        Check::at_least("seconds of each", Some(parameters.duration.as_secs_f64()), seconds),
    ]
}

/// The checks as a table, and whether all checks are met.
pub(crate) fn render(checks: &[Check]) -> (String, bool) {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["figure", "found", "at least", "at most", ""]);
    for check in checks {
        let found =
            check.found.map_or_else(|| "not measured".into(), |found| format!("{found:.3}"));
        let bound =
            |bound: f64| if bound.is_finite() { format!("{bound:.2}") } else { String::new() };
        let verdict = if check.is_met() { "met" } else { "MISSED" };
        table.add_row([
            check.what.clone(),
            found,
            bound(check.at_least),
            bound(check.at_most),
            verdict.into(),
        ]);
    }
    (table.to_string(), !checks.is_empty() && checks.iter().all(Check::is_met))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_outside_its_bounds_or_not_measured_is_a_miss() {
        let check =
            |found| Check { what: "x".into(), found, at_least: 0.5, at_most: f64::INFINITY };
        assert!(check(Some(0.5)).is_met() && check(Some(9.0)).is_met());
        assert!(
            !check(Some(0.49)).is_met() && !check(None).is_met() && !check(Some(f64::NAN)).is_met()
        );
        assert!(!render(&[]).1, "nothing measured is nothing reached");
        assert!(render(&[check(None)]).0.contains("MISSED"));
    }
}
