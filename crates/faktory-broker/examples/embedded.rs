//! A program with a work server inside. The client and the worker are those of the faktory crate:
//! the broker serves every client of Faktory.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;

use faktory::{Client, Job, WorkerBuilder};
use faktory_broker::{Broker, BrokerConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A real program keeps its data folder, and usually names a port; port 0 picks a free one.
    let folder = tempfile::tempdir()?;
    let mut config = BrokerConfig::new("127.0.0.1:0".parse()?, folder.path().to_owned());
    config.password = Some("secret".into());
    let broker = Broker::start(config).await?;
    let url = format!("tcp://:secret@{}", broker.address());

    let mut client = Client::connect_to(&url).await?;
    client.enqueue(Job::new("greet", vec!["world"])).await?;

    let mut worker = WorkerBuilder::default()
        .register_fn("greet", |job: Job| async move {
            println!("hello, {:?}", job.args());
            Ok::<(), std::io::Error>(())
        })
        .connect_to(&url)
        .await?;
    worker.run_one(0, &["default"]).await?;

    // Commands that have been carried out, and a FETCH that waits, are answered before the broker
    // ends its connections. The jobs are on disk.
    drop((client, worker));
    broker.stop().await?;
    Ok(())
}
