//! Gates: figures with bounds that must hold. A gate is run by hand on a quiet machine, never in
//! CI, and its report is committed.

mod baselines;
mod broker;
mod broker_depth;
mod check;
mod endings;
mod enqueue;
mod figures;
mod hostile;
mod overload;
mod tuning;
mod work;

use anyhow::bail;

use crate::progress::Progress;
use crate::report::Report;
use crate::runner::{self, Plan};

pub(crate) use check::{Check, render};

/// A gate: what is measured for it, and which figures must hold.
pub(crate) struct Gate {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Fills the plan. A gate first measures the figures on which its plan depends.
    pub(crate) prepare: fn(&mut Plan) -> anyhow::Result<()>,
    /// Measures the plan.
    pub(crate) measure: fn(&Plan, &mut Report, &Progress) -> anyhow::Result<()>,
    /// A table of the gate's own above its checks.
    pub(crate) table: Option<fn(&Report) -> String>,
    /// The checks of a report.
    pub(crate) checks: fn(&Report) -> Vec<Check>,
}

/// All gates.
pub(crate) const ALL: &[Gate] = &[
    Gate {
        name: "baselines",
        title: "the faktory crate is as slow as physics says, so the baseline is measured well",
        prepare: baselines::prepare,
        measure: runner::run,
        table: None,
        checks: baselines::checks,
    },
    Gate {
        name: "broker",
        title: "the broker does many times Faktory's work, beside it under the same raw load",
        prepare: broker::prepare,
        measure: broker::measure,
        table: Some(broker::table),
        checks: broker::checks,
    },
    Gate {
        name: "broker-depth",
        title: "many queued jobs, connections and queues cost the broker what few do",
        prepare: broker_depth::prepare,
        measure: runner::side_by_side::run,
        table: Some(broker_depth::table),
        checks: broker_depth::checks,
    },
    Gate {
        name: "enqueue",
        title: "posting far away is as fast as nearby",
        prepare: enqueue::prepare,
        measure: runner::run,
        table: None,
        checks: enqueue::checks,
    },
    Gate {
        name: "overload",
        title: "jobs beyond the work server's rate are refused at once, and all others are stored",
        prepare: overload::prepare,
        measure: runner::run,
        table: None,
        checks: overload::checks,
    },
    Gate {
        name: "hostile",
        title: "hostile clients of the broker and the API do not slow an honest one",
        prepare: hostile::prepare,
        measure: runner::run,
        table: None,
        checks: hostile::checks,
    },
    Gate {
        name: "endings",
        title: "workers end, in order or not, and no job is lost",
        prepare: endings::prepare,
        measure: runner::run,
        table: None,
        checks: endings::checks,
    },
    Gate {
        name: "tuning",
        title: "the advice of docs/tuning.md for each variable is true",
        prepare: tuning::prepare,
        measure: runner::run,
        table: None,
        checks: tuning::checks,
    },
    Gate {
        name: "work",
        title: "a worker is as fast far away as nearby",
        prepare: work::prepare,
        measure: runner::run,
        table: None,
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
