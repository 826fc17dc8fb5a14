//! The figures that checks compare, and how each is read from a report.

use super::case::Case;
use super::setup::Setup;
use crate::measure::Spread;
use crate::part::order::Via;
use crate::report::{Report, Run};

/// A quantity of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    /// Jobs a second.
    Rate,
    /// The handlers' share of the worker's slots.
    HandlerShare,
    /// The median latency, in milliseconds.
    LatencyMs,
    /// Jobs with an unknown outcome.
    Unknown,
    /// The length of the run, in seconds.
    Seconds,
    /// From the end of a cut until the rate was as before, in seconds.
    ResumedSeconds,
    /// The median time until a client was told that its jobs were not stored, in milliseconds.
    ToldMs,
    /// The median time until a client was told that its jobs were not stored, in seconds.
    ToldSeconds,
    /// From the start of the API's process until it was ready, in microseconds.
    ReadyUs,
    /// Packets from the near side to the far side.
    Packets,
    /// Processor time of the API for each job, in microseconds.
    ApiProcessorUs,
    /// Resident memory of the work server, in bytes.
    ServerMemory,
}

/// A case on a setup.
pub(super) type At = (Setup, Case);

/// A figure that a check finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Figure {
    /// A quantity with the product.
    Ours(Quantity, At),
    /// A quantity with the faktory crate.
    Baseline(Quantity, At),
    /// A quantity of one case, divided by the same quantity of another case.
    Ratio(Quantity, At, At),
    /// The increase of a quantity from one case to another, divided by a number.
    Increase { quantity: Quantity, from: At, to: At, per: f64 },
}

impl Quantity {
    fn of(self, run: &Run) -> Option<f64> {
        let told_us = || Some(run.refused.as_ref()?.latency.p50_us as f64);
        match self {
            Self::Rate => Some(run.jobs_per_second),
            Self::HandlerShare => run.handler_share,
            Self::LatencyMs => Some(run.latency.p50_us as f64 / 1e3),
            Self::Unknown => Some(run.counts.unknown as f64),
            Self::Seconds => Some(run.seconds),
            Self::ResumedSeconds => run.timeline.as_ref()?.resumed_seconds,
            Self::ToldMs => Some(told_us()? / 1e3),
            Self::ToldSeconds => Some(told_us()? / 1e6),
            Self::ReadyUs => run.ready_us,
            Self::Packets => Some(run.link.as_ref()?.near_to_far.packets as f64),
            Self::ApiProcessorUs => run.processor_us_per_job.get("api").copied(),
            Self::ServerMemory => run.resident_bytes.get("server").map(|bytes| *bytes as f64),
        }
    }
}

impl Figure {
    /// The figure in a report: from medians over the runs that count. `None` where it was not
    /// measured.
    pub(super) fn in_report(&self, report: &Report) -> Option<f64> {
        let ours = |quantity, at| median(report, quantity, at, &[Via::Http, Via::Worker]);
        match *self {
            Self::Ours(quantity, at) => ours(quantity, at),
            Self::Baseline(quantity, at) => median(report, quantity, at, &[Via::Crate]),
            Self::Ratio(quantity, one, other) => {
                Some(ours(quantity, one)? / ours(quantity, other)?)
            }
            Self::Increase { quantity, from, to, per } => {
                Some((ours(quantity, to)? - ours(quantity, from)?) / per)
            }
        }
    }
}

fn median(report: &Report, quantity: Quantity, (setup, case): At, vias: &[Via]) -> Option<f64> {
    let (network, scenario) = (setup.network().name, case.name());
    let figures = vias.iter().filter_map(|via| report.figure(&network, &scenario, *via));
    let runs = figures.flat_map(|figure| &figure.runs).filter(|run| run.is_sound());
    Spread::of(runs.filter_map(|run| quantity.of(run))).map(|spread| spread.median)
}
