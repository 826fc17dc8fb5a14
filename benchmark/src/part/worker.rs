//! A worker as a process of its own that notes its runs: our worker, or the faktory crate's.

mod baseline;
mod handler;
mod runs;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use service_runtime::Role;
use tokio::signal::unix::{SignalKind, signal};
use worker_service::{Job, Worker, WorkerConfig};

use super::Channel;
use super::job::TIMED;
use super::order::{Event, Via, WorkerOrder, WorkerQuestion, WorkerReport};
use super::run_log::RunLog;
use handler::Handler;
use runs::Runs;

/// The time between two looks at the jobs that the worker holds.
const LOOK: Duration = Duration::from_millis(5);
/// The time that a worker gets to stop when the benchmark ends it.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

pub(crate) async fn run(order: WorkerOrder, channel: Channel) -> anyhow::Result<()> {
    match order.via {
        Via::Crate => run_baseline(&order, channel).await,
        Via::Worker | Via::Http | Via::Link | Via::Raw => run_ours(&order, channel).await,
    }
}

async fn run_baseline(order: &WorkerOrder, mut channel: Channel) -> anyhow::Result<()> {
    let runs = Arc::new(Runs::default());
    let connecting = baseline::connect(order, Arc::clone(&runs)).await?;
    let mut worker = std::pin::pin!(connecting.until_connected(LOOK).await?);
    Channel::say(&Event::Ready(None));
    // The crate does not tell how many jobs it holds.
    let held = AtomicU64::new(0);
    tokio::select! {
        result = &mut worker => result,
        () = answer(&mut channel, &runs, &held) => Ok(()),
    }
}

async fn run_ours(order: &WorkerOrder, mut channel: Channel) -> anyhow::Result<()> {
    let runs = Arc::new(Runs::default());
    let mut config = WorkerConfig::from_settings(&service_runtime::start(Role::Worker, None)?);
    config.link = order.server.reached_with(config.link);
    let shutdown_timeout = config.shutdown_timeout;
    let log = order.log.as_deref().map(RunLog::open).transpose()?;
    let handler = Arc::new(Handler::new(Arc::clone(&runs), log, order.handlers));
    let worker = Worker::builder(config).register_fn(TIMED, move |job: Job| {
        let handler = Arc::clone(&handler);
        async move { handler.run(job.args_json(), || job.enqueued_at.as_deref()).await }
    });
    let mut terminated = signal(SignalKind::terminate())?;
    let mut worker = worker.start()?;
    worker.connected().await;
    Channel::say(&Event::Ready(None));
    let most = AtomicU64::new(0);
    let look = async {
        loop {
            most.fetch_max(worker.held() as u64, Ordering::Relaxed);
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = answer(&mut channel, &runs, &most) => worker.stop(STOPS_WITHIN).await,
        _ = terminated.recv() => worker.stop(shutdown_timeout).await,
        () = look => {}
    }
    Ok(())
}

/// Answers the benchmark's questions until it ends this part.
async fn answer(channel: &mut Channel, runs: &Runs, held: &AtomicU64) {
    while let Some(question) = channel.next::<WorkerQuestion>().await {
        let report = WorkerReport {
            held: held.load(Ordering::Relaxed),
            ..runs.report(question.from_us, question.to_us)
        };
        Channel::say(&Event::Ran(Box::new(report)));
    }
}
