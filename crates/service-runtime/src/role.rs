//! What a process does, and so which settings must fit it.

/// The parts that run in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Broker (where no work server is named), API and worker.
    All,
    /// The HTTP API.
    Api,
    /// The worker.
    Worker,
    /// The embedded broker.
    Broker,
}

impl Role {
    /// True where the API runs.
    #[must_use]
    pub const fn runs_api(self) -> bool {
        matches!(self, Self::All | Self::Api)
    }

    /// True where the embedded broker runs; it does not beside a work server that is named.
    #[must_use]
    pub const fn runs_broker(self, work_server_is_set: bool) -> bool {
        matches!(self, Self::Broker) || (matches!(self, Self::All) && !work_server_is_set)
    }

    /// True where a worker runs.
    #[must_use]
    pub const fn runs_worker(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }
}
