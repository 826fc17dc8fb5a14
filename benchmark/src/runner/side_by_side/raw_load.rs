//! A raw load under way, and the resources that were used meanwhile.

use std::time::Duration;

use crate::distance::{Distance, Side};
use crate::part::order::{Event, LoadReport, Order, RawOrder};
use crate::process::Part;
use crate::processor::Usage;
use crate::report::Run;
use crate::runner::watch::Watch;
use crate::stack::{READY_WITHIN, ready};

/// The longest time of a load beyond its own length.
const PATIENCE: Duration = Duration::from_secs(120);
/// The largest share of the machine that may go to processes which are not measured.
const OTHERS: f64 = 0.1;

/// Makes a run void during which other processes than the measured ones ran.
pub(super) fn judge_quiet(watch: &Watch, after: &Usage, run: &mut Run) {
    let share = watch.others_share(after);
    if share > OTHERS {
        run.void.push(format!("other processes took {:.0} % of the machine", share * 100.0));
    }
}

/// A load that has ended, with the resources that were used in its measured time.
pub(super) struct Loaded {
    pub(super) report: LoadReport,
    watch: Watch,
    after: Usage,
}

impl Loaded {
    /// Notes the used resources in a run; it is void where other processes used too many.
    pub(super) fn note_use(&self, run: &mut Run) {
        self.watch.note(&self.after, run);
        judge_quiet(&self.watch, &self.after, run);
    }
}

/// Puts a raw load on a server, and watches the process with this id.
pub(super) fn load(
    distance: &Distance,
    server: Option<u32>,
    order: RawOrder,
) -> anyhow::Result<Loaded> {
    let (warm_up, lasts) = (order.warm_up, order.lasts);
    let part = Part::start(distance, Side::Near, &Order::Raw(order))?;
    ready(&part)?;
    match part.next(warm_up + READY_WITHIN)? {
        Event::Measuring => {}
        other => return part.unexpected(&other),
    }
    let mut processes = vec![("client", part.id())];
    processes.extend(server.map(|id| ("server", id)));
    let watch = Watch::over(processes);
    match part.next(lasts + PATIENCE)? {
        Event::Measured => {}
        other => return part.unexpected(&other),
    }
    let after = watch.end();
    match part.next(PATIENCE)? {
        Event::Loaded(report) => Ok(Loaded { report: *report, watch, after }),
        other => part.unexpected(&other),
    }
}
