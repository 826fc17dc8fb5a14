//! Gates: figures that must be reached. Run by hand on a quiet machine, never in CI; their reports
//! are committed.

mod baselines;
mod check;
mod endings;
mod enqueue;
mod figures;
mod overload;
mod tuning;
mod work;

use anyhow::bail;

use crate::report::Report;
use crate::runner::Plan;

pub(crate) use check::{Check, render};

/// One gate.
pub(crate) struct Gate {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Sets what is measured. Figures on which the plan depends are measured here.
    pub(crate) prepare: fn(&mut Plan) -> anyhow::Result<()>,
    /// The checks of a report.
    pub(crate) checks: fn(&Report) -> Vec<Check>,
}

/// All gates.
pub(crate) const ALL: &[Gate] = &[
    Gate {
        name: "baselines",
        title: "the faktory crate is as slow as physics says, so what it is compared with is \
                measured well",
        prepare: baselines::prepare,
        checks: baselines::checks,
    },
    Gate {
        name: "enqueue",
        title: "no round trip shows on the enqueue path",
        prepare: enqueue::prepare,
        checks: enqueue::checks,
    },
    Gate {
        name: "overload",
        title: "what is too much is refused at once, and the rest goes on",
        prepare: overload::prepare,
        checks: overload::checks,
    },
    Gate {
        name: "endings",
        title: "workers end, in order or not, and nothing is lost",
        prepare: endings::prepare,
        checks: endings::checks,
    },
    Gate {
        name: "tuning",
        title: "what docs/tuning.md says of each variable is so",
        prepare: tuning::prepare,
        checks: tuning::checks,
    },
    Gate {
        name: "work",
        title: "a worker does not feel the distance",
        prepare: work::prepare,
        checks: work::checks,
    },
];

/// The gate with this name.
pub(crate) fn named(name: &str) -> anyhow::Result<&'static Gate> {
    let Some(gate) = ALL.iter().find(|gate| gate.name == name) else {
        let known = ALL
            .iter()
            .map(|gate| format!("{} ({})", gate.name, gate.title))
            .collect::<Vec<_>>()
            .join(", ");
        bail!("there is no gate {name:?}; there are: {known}");
    };
    Ok(gate)
}
