//! The processes of a benchmark: work server, API, load, worker, attendant. Each is this program,
//! started with the hidden command `part`, so that the processor time of each is its own.
//!
//! A part reads its order as one line of JSON from its standard input, then commands, one a line;
//! it writes events, one a line, to its standard output. When its input ends it ends: nothing
//! outlives the benchmark.

pub(crate) mod api;
pub(crate) mod attendant;
mod baseline;
mod brake;
mod channel;
pub(crate) mod clock;
mod job;
pub(crate) mod load;
pub(crate) mod order;
mod poster;
pub(crate) mod run_log;
mod seen;
pub(crate) mod work_server;
pub(crate) mod worker;

use anyhow::Context;
use order::{Event, Order};

pub(crate) use channel::Channel;

/// Runs the part that standard input orders.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("failed to read the order")?;
    let order: Order = serde_json::from_str(&line).context("failed to understand the order")?;
    let runtime = tokio::runtime::Runtime::new()?;
    let channel = Channel::open();
    let result = runtime.block_on(async {
        // The terminal sends an interrupt to every process; this one ends when the benchmark does,
        // and in order.
        tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
        match order {
            Order::Broker(order) => work_server::run_broker(order, channel).await,
            Order::Faktory(order) => work_server::run_faktory(order, channel).await,
            Order::Brake(order) => brake::run(order, channel).await,
            Order::Api(order) => api::run(order, channel).await,
            Order::Load(order) => load::run(order, channel).await,
            Order::Worker(order) => worker::run(order, channel).await,
            Order::Attendant(order) => attendant::run(order, channel).await,
        }
    });
    if let Err(error) = &result {
        Channel::say(&Event::Failed(format!("{error:#}")));
    }
    // What still runs, of the faktory crate's worker for one, can't be ended in order.
    std::process::exit(i32::from(result.is_err()))
}
