//! The registry: the handler, the time limit and the metrics of each job type.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::handler::Handler;
use crate::metrics::TypeMetrics;

/// What is registered for a job type.
pub(crate) struct Registered {
    pub(crate) handler: Arc<dyn Handler>,
    /// The longest that a run may take.
    pub(crate) limit: Option<Duration>,
    pub(crate) metrics: TypeMetrics,
}

/// The job types that a worker runs.
pub(crate) struct Registry {
    types: HashMap<String, Registered>,
    /// The metrics of jobs without a handler: a type that a client made up becomes no label.
    other: TypeMetrics,
}

impl Registry {
    /// The handlers, each with the limit of its type or else `limit`.
    pub(crate) fn new(
        handlers: HashMap<String, Arc<dyn Handler>>,
        limits: &HashMap<String, Duration>,
        limit: Option<Duration>,
    ) -> Self {
        let registered = |(job_type, handler): (String, _)| {
            let limit = limits.get(&job_type).copied().or(limit);
            let metrics = TypeMetrics::new(&job_type);
            (job_type, Registered { handler, limit, metrics })
        };
        let types = handlers.into_iter().map(registered).collect();
        Self { types, other: TypeMetrics::new("other") }
    }

    /// What is registered for a job type, and the metrics for it in any case.
    pub(crate) fn get(&self, job_type: &str) -> (Option<&Registered>, &TypeMetrics) {
        let registered = self.types.get(job_type);
        (registered, registered.map_or(&self.other, |registered| &registered.metrics))
    }

    /// The job types that have handlers, for people.
    pub(crate) fn names(&self) -> String {
        let mut names: Vec<&str> = self.types.keys().map(String::as_str).collect();
        names.sort_unstable();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }
}
