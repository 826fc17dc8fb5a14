//! The role of a process: the parts that run in it, and so the settings that must be valid.

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

    /// True where the embedded broker runs. In a process with all parts the broker does not run
    /// where another work server is named.
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
