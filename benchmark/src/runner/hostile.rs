//! An honest client at a fixed rate, beside a hostile one. The stack can't be used after this.

use std::time::Duration;

use super::arrivals;
use super::load::{load_order, run_of, start};
use crate::distance::Side;
use crate::part::order::{Attack, HostileOrder, LoadOrder, Order, Shape, Via};
use crate::process::Part;
use crate::report::Run;
use crate::scenario::{Pace, Parameters};
use crate::stack::{Stack, ready};

/// The time that a hostile client has before the honest one is measured: it makes its connections,
/// and fills the work server with what it needs there.
const RUN_UP: Duration = Duration::from_secs(3);

/// Posts single jobs at a rate, while a hostile client does its worst; without an attack, alone.
/// Jobs that are refused or whose outcome is unknown are figures here, and no failures.
pub(super) fn hostile(
    parameters: &Parameters,
    stack: &mut Stack,
    via: Via,
    queue: &str,
    attack: Option<Attack>,
    rate: f64,
) -> anyhow::Result<Run> {
    stack.distance.watch();
    let order = load_order(parameters, stack, via, queue, Shape::Add, 1, Pace::PerSecond(rate));
    let warm_up = parameters.warm_up + RUN_UP;
    let load = start(stack, LoadOrder { probe: true, warm_up, ..order })?;
    let hostile = attack.map(|attack| hostile_client(stack, attack)).transpose()?;
    let loaded = load.finish(stack, &[])?;
    // It has earned no orderly end.
    hostile.into_iter().for_each(Part::kill);
    let mut run = run_of(&loaded.report);
    loaded.note_use(stack, &mut run);
    run.peak_bytes = loaded.peak();
    run.probed = Some(loaded.report.probed);
    let refused = loaded.report.refused;
    run.refused = (refused.latency.count > 0).then_some(refused);
    if let Err(error) = arrivals::look_at_each(stack, queue, &mut run) {
        run.failures.push(format!("the jobs that arrived can't be counted: {error:#}"));
    }
    Ok(run)
}

/// Starts a hostile client at an address that is not the honest one's: of the work server on the
/// far side, of the API on the near side but from an address that is not loopback.
fn hostile_client(stack: &Stack, attack: Attack) -> anyhow::Result<Part> {
    let order = HostileOrder {
        attack,
        server: stack.server.clone(),
        api: stack.api_for_strangers()?,
        key: stack.key.clone().unwrap_or_default(),
    };
    let side = if attack.is_of_api() { Side::Near } else { Side::Far };
    let part = Part::start(&stack.distance, side, &Order::Hostile(order))?;
    ready(&part)?;
    Ok(part)
}
