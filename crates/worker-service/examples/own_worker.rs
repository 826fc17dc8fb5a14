//! A worker of one's own: one handler for jobs of the type `send_mail`. The README shows this file.
//!
//! ```text
//! WORKER_QUEUES=mail cargo run --release -p worker-service --example own_worker
//! ```

use service_runtime::{Role, Termination};
use worker_service::{Job, Worker, WorkerConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = service_runtime::start(Role::Worker, None)?;
    let mut termination = Termination::listen()?;
    let worker = Worker::builder(WorkerConfig::from_settings(&settings))
        .register_fn("send_mail", |job: Job| async move {
            tracing::info!(args = job.args_json(), "sending");
            Ok::<(), std::io::Error>(())
        })
        .start()?;
    termination.signal().await;
    // A second signal ends at once.
    termination.unless_again(worker.stop(settings.process.shutdown_timeout)).await?;
    Ok(())
}
