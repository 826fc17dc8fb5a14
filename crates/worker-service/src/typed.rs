//! Typed jobs as handlers, each result logged.

use std::sync::Arc;

use faktory_wire::{Excerpt, Job, RawJson};
use job_types::{Definition, JobContext, Registry};

use crate::handler::{Handler, HandlerFuture};
use crate::outcome::IntoOutcome;

/// The typed jobs of a registry, with their handlers.
pub(crate) fn handlers(registry: &Registry) -> impl Iterator<Item = (String, Arc<dyn Handler>)> {
    registry.definitions().map(|definition| {
        let handler: Arc<dyn Handler> = Arc::new(Typed(definition));
        (definition.operation().to_owned(), handler)
    })
}

/// The handler of a typed job.
struct Typed(Definition);

impl Handler for Typed {
    fn run(&self, job: Job, context: JobContext) -> HandlerFuture {
        let operation = self.0.operation();
        let args = job.args.unwrap_or_else(|| RawJson::from_checked("[]".to_owned()));
        let run = self.0.run(args, context);
        Box::pin(async move {
            let result = run.await;
            if let Ok(value) = &result {
                tracing::info!(
                    jid = %Excerpt(&job.jid), job_type = %Excerpt(operation),
                    result = %Excerpt(value.get()), "job done"
                );
            }
            result.map(drop).into_outcome()
        })
    }
}
