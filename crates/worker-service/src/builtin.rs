//! The jobs of job-types as handlers, each result logged.

use faktory_wire::Job;
use job_types::REGISTRY;

use crate::worker::WorkerBuilder;

pub(crate) fn register(builder: WorkerBuilder) -> WorkerBuilder {
    REGISTRY.iter().fold(builder, |builder, definition| {
        // Pure and short: no reason to leave the thread.
        builder.register_fn(definition.operation(), move |job: Job| async move {
            let result = definition.run(job.args_json());
            if let Ok(value) = &result {
                tracing::info!(jid = %job.jid, job_type = %job.jobtype, args = %job.args_json(), result = %value, "job done");
            }
            result
        })
    })
}
