//! The worker of the faktory crate, which is the baseline.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::handler::Handler;
use super::runs::Runs;
use crate::part::baseline::connected;
use crate::part::job::TIMED;
use crate::part::order::{Handlers, WorkerOrder};

type Running = Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

/// A worker that makes its connections.
pub(super) struct Connecting {
    worker: Running,
    /// The number of sockets of this process once all connections are made.
    wanted: usize,
}

/// Starts a worker as the crate's documentation shows it.
pub(super) async fn connect(order: &WorkerOrder, runs: Arc<Runs>) -> anyhow::Result<Connecting> {
    let wanted = sockets() + order.concurrency + 1;
    let url = order.server.url();
    let handler = Arc::new(Handler::new(runs, None, Handlers::Sleep));
    let connect = || {
        let builder: faktory::WorkerBuilder<std::io::Error> =
            faktory::Worker::builder().workers(order.concurrency);
        let (handler, url) = (Arc::clone(&handler), url.clone());
        let builder = builder.register_fn(TIMED, move |job| {
            let handler = Arc::clone(&handler);
            async move {
                let args = serde_json::Value::from(job.args().to_vec()).to_string();
                handler.run(&args, || None).await.map_err(std::io::Error::other)
            }
        });
        async move { builder.connect_to(&url).await }
    };
    let mut worker = connected(connect).await?;
    let queue = order.queue.clone();
    let worker = Box::pin(async move {
        worker.run(&[queue]).await?;
        Ok(())
    });
    Ok(Connecting { worker, wanted })
}

impl Connecting {
    /// Runs the worker until it has all its connections. The crate makes connections one after the
    /// other, with three round trips each, and runs jobs on the connections that it already has.
    pub(super) async fn until_connected(mut self, look: Duration) -> anyhow::Result<Running> {
        while sockets() < self.wanted {
            tokio::select! {
                result = &mut self.worker => {
                    result?;
                    anyhow::bail!("the worker ended while it connected");
                }
                () = tokio::time::sleep(look) => {}
            }
        }
        Ok(self.worker)
    }
}

/// The number of sockets that this process has open.
fn sockets() -> usize {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return usize::MAX };
    let is_socket = |entry: &std::fs::DirEntry| {
        std::fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
    };
    entries.filter_map(Result::ok).filter(is_socket).count()
}
