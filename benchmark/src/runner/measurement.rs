//! One measurement: a scenario on a stack, by one way.

use super::{chaos, cut, endings, handlers, hostile, idle, posting, trouble, working};
use crate::part::order::Via;
use crate::report::Run;
use crate::scenario::{Kind, Parameters};
use crate::stack::Stack;

/// Measures a scenario of this kind.
pub(super) fn measure(
    parameters: &Parameters,
    stack: &mut Stack,
    kind: Kind,
    via: Via,
    queue: &str,
) -> anyhow::Result<Run> {
    match kind {
        Kind::Enqueue { batch, pace } => {
            posting::enqueue(parameters, stack, via, queue, batch, pace)
        }
        Kind::AfterReady { batch, requests, times } => {
            posting::after_ready(parameters, stack, queue, batch, requests, times)
        }
        Kind::Payloads { clients, batch } => {
            posting::payloads(parameters, stack, queue, clients, batch)
        }
        Kind::Queues { jobs, queues } => posting::queues(parameters, stack, queue, jobs, queues),
        Kind::Overload { batch, per_second } => {
            trouble::overload(parameters, stack, queue, batch, per_second)
        }
        Kind::Hostile { attack, per_second } => {
            hostile::hostile(parameters, stack, via, queue, attack, per_second)
        }
        Kind::Outage { clients } => trouble::outage(parameters, stack, queue, clients),
        Kind::Posting { clients, cut } => {
            trouble::posting(parameters, stack, via, queue, clients, cut)
        }
        Kind::Silence { lasts, times } => {
            trouble::silence(parameters, stack, via, queue, lasts, times)
        }
        Kind::Work { concurrency, mix } => {
            working::work(parameters, stack, via, queue, concurrency, mix)
        }
        Kind::EndToEnd { per_second, concurrency } => {
            working::end_to_end(parameters, stack, via, queue, per_second, concurrency)
        }
        Kind::Idle { concurrency, jobs } => idle::idle(parameters, stack, queue, concurrency, jobs),
        Kind::Sharing { workers, concurrency, jobs, takes } => {
            idle::sharing(parameters, stack, queue, workers, concurrency, jobs, takes)
        }
        Kind::Hanging { concurrency } => handlers::hanging(parameters, stack, queue, concurrency),
        Kind::Busy { concurrency, takes } => {
            handlers::busy(parameters, stack, queue, concurrency, takes)
        }
        Kind::Ending { concurrency, times, dry } => {
            endings::endings(stack, queue, concurrency, times, dry)
        }
        Kind::Chaos { workers, concurrency, lasts } => {
            chaos::chaos(stack, queue, workers, concurrency, lasts)
        }
        Kind::Raw { .. }
        | Kind::Restart
        | Kind::Due { .. }
        | Kind::Fill
        | Kind::Beside { .. }
        | Kind::Sync => {
            anyhow::bail!("{kind:?} is measured side by side")
        }
        Kind::Cut { concurrency, takes, lasts } => {
            cut::cut(parameters, stack, queue, concurrency, takes, lasts)
        }
    }
}
