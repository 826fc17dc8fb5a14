//! Tasks of a worker that end although they were to run on.

use std::time::Duration;

use faktory_link::LinkConfig;

use super::*;
use crate::{Worker, WorkerConfig};

/// A worker that finds no work server.
fn worker() -> RunningWorker {
    let config = WorkerConfig::new(LinkConfig::new("127.0.0.1", 9));
    Worker::builder(config).register_fn("t", |_| async { Ok::<_, String>(()) }).start().unwrap()
}

#[tokio::test]
async fn a_task_that_breaks_off_is_told_to_the_owner_of_the_worker() {
    let mut worker = worker();
    worker.stale.spawn("one that panics", async { panic!("deliberate") });
    assert_eq!(worker.must_stop().await.unwrap_err().name(), "one that panics");
    worker.slots.abort_all();
    assert_eq!(worker.must_stop().await.unwrap_err().name(), "slot");
    worker.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn the_lanes_of_a_worker_that_is_told_to_end_may_end_before_it_is_stopped() {
    let mut worker = worker();
    worker.lifecycle.advance(WorkerState::Terminate);
    worker.lanes.all_ended().await;
    worker.lanes.spawn("returns", async {});
    assert!(worker.must_stop().await.is_ok());
    worker.stop(Duration::from_secs(1)).await;
}
