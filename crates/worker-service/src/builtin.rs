//! The jobs of job-types as handlers, each result logged.

use std::sync::Arc;

use faktory_wire::{Excerpt, Job};
use job_types::REGISTRY;

use crate::handler::{AsyncHandler, Handler};

/// Every job type of job-types, with its handler.
pub(crate) fn handlers() -> impl Iterator<Item = (String, Arc<dyn Handler>)> {
    REGISTRY.iter().map(|definition| {
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
