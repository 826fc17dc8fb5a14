//! A worker of one's own: an async handler, a blocking one, a failure for good and a snooze.
//!
//! `cargo run -p worker-service --example worker` works for the work server at FAKTORY_URL.

use std::time::Duration;

use service_runtime::{Quieting, Role, Termination};
use worker_service::{Failure, Job, JobContext, Outcome, Worker, WorkerConfig};

/// Async: waits without a thread of its own. An error has the work server try again.
async fn send_mail(job: Job) -> Result<(), std::io::Error> {
    tracing::info!(args = job.args_json(), "sending");
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(())
}

/// Blocking: may compute for long, and looks now and then whether it is still to go on.
fn resize(job: Job, context: JobContext) -> Outcome {
    for step in 0..100 {
        if context.is_cancelled() {
            return Outcome::Failed(Failure::new("cancelled", format!("at step {step}")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    tracing::info!(jid = job.jid, "resized");
    Outcome::Done
}

/// Fails for good where no later run could succeed: the job goes to the dead set at once.
async fn charge(job: Job) -> Outcome {
    match job.args_json() {
        "[]" => Outcome::FailedForGood(Failure::new("no_account", "the args name no account")),
        _ => Outcome::Done,
    }
}

/// Snoozes the job where it is too early: the job runs again later, and no retry is burned.
async fn poll_partner(_: Job) -> Outcome {
    let partner_has_answered = false;
    if partner_has_answered { Outcome::Done } else { Outcome::Snooze(Duration::from_secs(30)) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // FAKTORY_URL, WORKER_QUEUES and the rest; logs go to standard error.
    let settings = service_runtime::start(Role::Worker, None)?;
    let mut termination = Termination::listen()?;
    let mut quieting = Quieting::listen(settings.worker.quiet_signal)?;
    let mut worker = Worker::builder(WorkerConfig::from_settings(&settings))
        .register_fn("send_mail", send_mail)
        .register_blocking_fn_with_context("resize", resize)
        .time_limit("resize", Duration::from_secs(60))
        .register_fn("charge", charge)
        .register_fn("poll_partner", poll_partner)
        .start()?;
    let ended = loop {
        tokio::select! {
            _ = termination.signal() => break Ok(()),
            // The work server told it to end, or a task of the worker broke off.
            ended = worker.must_stop() => break ended,
            // Fetches no more, finishes what it has, and stays.
            _ = quieting.signal() => worker.quiet(),
        }
    };
    // A second signal ends at once.
    termination.unless_again(worker.stop(settings.process.shutdown_timeout)).await?;
    Ok(ended?)
}
