//! Typed jobs as handlers, each result logged.

use std::sync::Arc;

use faktory_wire::{Excerpt, Job};
use job_types::Registry;

use crate::handler::{AsyncHandler, Handler};

/// The typed jobs of a registry, with their handlers.
pub(crate) fn handlers(registry: &Registry) -> impl Iterator<Item = (String, Arc<dyn Handler>)> {
    registry.definitions().map(|definition| {
        // Pure and short: no reason to leave the thread.
        let handler = AsyncHandler(move |job: Job, _| async move {
            let result = definition.run(job.args_json());
            if let Ok(value) = &result {
                tracing::info!(
                    jid = %Excerpt(&job.jid), job_type = %Excerpt(&job.jobtype),
                    result = %Excerpt(value), "job done"
                );
            }
            result.map(drop)
        });
        (definition.operation().to_owned(), Arc::new(handler) as Arc<dyn Handler>)
    })
}
