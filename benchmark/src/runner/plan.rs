//! The plan: what is to be measured, and in which order.

use crate::distance::Congestion;
use crate::network::Network;
use crate::part::order::Via;
use crate::scenario::{Parameters, Scenario};
use crate::stack::ServerKind;

/// Everything that a run of the benchmark measures.
pub(crate) struct Plan {
    pub(crate) kind: ServerKind,
    pub(crate) networks: Vec<Network>,
    pub(crate) scenarios: Vec<Scenario>,
    /// The chosen ways; empty for all ways.
    pub(crate) vias: Vec<Via>,
    pub(crate) parameters: Parameters,
    pub(crate) congestion: Congestion,
    /// The reason why a proxy replaces the emulator, where it does.
    pub(crate) proxy_because: Option<String>,
    /// Whether a scenario is measured on a network by a way; without this, all are.
    pub(crate) pick: Option<fn(&str, &str, Via) -> bool>,
}

impl Plan {
    fn vias(&self, scenario: &Scenario) -> Vec<Via> {
        let (has_api, is_given) = match &self.kind {
            ServerKind::Given { api, .. } => (api.is_some(), true),
            ServerKind::Broker | ServerKind::Faktory(_) => (true, false),
        };
        let possible = |via: &&Via| {
            (**via != Via::Http || has_api || !is_given)
                && (self.vias.is_empty() || self.vias.contains(via))
        };
        scenario.vias().iter().filter(possible).copied().collect()
    }

    /// Every measurement of one repetition on one network.
    pub(super) fn measurements(&self, network: &Network) -> Vec<(&Scenario, Via)> {
        let all = self
            .scenarios
            .iter()
            .flat_map(|scenario| self.vias(scenario).into_iter().map(move |via| (scenario, via)));
        all.filter(|(scenario, via)| {
            self.pick.is_none_or(|pick| pick(&network.name, &scenario.name, *via))
        })
        .collect()
    }

    /// The measurements of one network in the order of a repetition. Every second repetition
    /// reverses the ways of each scenario, so that no way always comes after another.
    pub(super) fn measurements_of(
        &self,
        network: &Network,
        repetition: usize,
    ) -> Vec<(&Scenario, Via)> {
        let mut measurements = self.measurements(network);
        if repetition.is_multiple_of(2) {
            for same_scenario in
                measurements.chunk_by_mut(|(one, _), (other, _)| one.name == other.name)
            {
                same_scenario.reverse();
            }
        }
        measurements
    }

    /// The number of measurements.
    pub(crate) fn len(&self) -> usize {
        let of = |network: &Network| self.measurements(network).len();
        self.networks.iter().map(of).sum::<usize>() * self.parameters.repetitions
    }
}
