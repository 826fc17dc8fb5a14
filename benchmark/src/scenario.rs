//! Scenarios: what is measured.

mod kind;
mod parameters;
mod registry;

pub(crate) use kind::{Focus, Kind, Large, Mix, Pace, Scenario};
pub(crate) use parameters::Parameters;
pub(crate) use registry::{all, named};
