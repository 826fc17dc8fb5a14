//! The parts of the benchmark: work server, brake, API, load, worker, attendant, hostile client,
//! null server, raw load.
//! Each part is a process of this program, started with the hidden command `part`, so that its
//! processor time can be told apart.
//!
//! A part reads its order as one line of JSON from its standard input, and then commands, one a
//! line. It writes events to its standard output, one a line. A part ends when its input ends, so
//! no part outlives the benchmark.

pub(crate) mod api;
pub(crate) mod attendant;
mod baseline;
mod brake;
mod channel;
pub(crate) mod clock;
mod hostile;
mod job;
pub(crate) mod load;
mod null_server;
pub(crate) mod order;
mod poster;
pub(crate) mod raw;
pub(crate) mod run_log;
mod seen;
mod serve;
pub(crate) mod work_server;
pub(crate) mod worker;

use anyhow::Context;
use order::{Event, Order};

pub(crate) use channel::Channel;

/// Runs the part that the order on standard input names.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("failed to read the order")?;
    let order: Order = serde_json::from_str(&line).context("failed to understand the order")?;
    let runtime = tokio::runtime::Runtime::new()?;
    let channel = Channel::open();
    let result = runtime.block_on(async {
        // The terminal sends an interrupt to every process. A part ignores the interrupt, and ends
        // in order when the benchmark ends.
        tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
        match order {
            Order::Broker(order) => work_server::run_broker(order, channel).await,
            Order::Faktory(order) => work_server::run_faktory(order, channel).await,
            Order::Brake(order) => brake::run(order, channel).await,
            Order::Api(order) => api::run(order, channel).await,
            Order::Load(order) => load::run(order, channel).await,
            Order::Worker(order) => worker::run(order, channel).await,
            Order::Hostile(order) => hostile::run(order, channel).await,
            Order::Null(order) => null_server::run(order, channel).await,
            Order::Raw(order) => raw::run(order, channel).await,
            Order::Attendant(order) => attendant::run(order, channel).await,
        }
    });
    if let Err(error) = &result {
        Channel::say(&Event::Failed(format!("{error:#}")));
    }
    // Some tasks, such as those of the faktory crate's worker, can't be ended in order.
    std::process::exit(i32::from(result.is_err()))
}
