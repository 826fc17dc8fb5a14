//! A raw load: commands whose bytes are prepared, over bare sockets, with a number of commands in
//! flight on each connection, every answer awaited and checked. All connections share one thread,
//! so that little of the machine goes to the load.

mod answers;
mod commands;
mod lane;
mod window;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use super::Channel;
use super::clock::{micros, now_us};
use super::order::{Event, LoadReport, RawOrder};
use lane::{Lane, Tally};
use window::Window;

pub(crate) use commands::line_length;

/// The queue of all jobs.
pub(crate) const QUEUE: &str = "default";
/// The job that the null server hands out.
pub(crate) const NULL_JOB: &str = concat!(
    r#"{"jid":"00000000000000000000000000000000","queue":"default","jobtype":"add","#,
    r#""created_at":"2026-01-02T03:04:05.000000Z","enqueued_at":"2026-01-02T03:04:05.000000Z","#,
    r#""args":[2,3],"retry":25,"reserve_for":1800}"#
);

pub(crate) async fn run(order: RawOrder, mut channel: Channel) -> anyhow::Result<()> {
    let lanes = connect(&order).await?;
    Channel::say(&Event::Ready(None));
    let (from, ended) = (now_us() + micros(order.warm_up), Arc::new(Notify::new()));
    let to = from + micros(order.lasts);
    let most = order.most.unwrap_or(u64::MAX);
    let load = {
        let ended = Arc::clone(&ended);
        tokio::task::spawn_blocking(move || on_one_thread(lanes, from, to, most, ended))
    };
    let work = async {
        tokio::time::sleep(order.warm_up).await;
        Channel::say(&Event::Measuring);
        tokio::select! {
            () = ended.notified() => {}
            () = tokio::time::sleep(until(to)) => {}
        }
        Channel::say(&Event::Measured);
        load.await?
    };
    let report = tokio::select! {
        report = work => report?,
        () = channel.end() => anyhow::bail!("told to end"),
    };
    Channel::say(&Event::Loaded(Box::new(report)));
    channel.end().await;
    Ok(())
}

fn until(us: u64) -> Duration {
    Duration::from_micros(us.saturating_sub(now_us()))
}

/// Makes the connections, and leads each through its handshake.
async fn connect(order: &RawOrder) -> anyhow::Result<Vec<Lane>> {
    let run = fastrand::u64(..);
    let mut lanes = Vec::with_capacity(order.connections);
    for number in 0..order.connections {
        let number = u32::try_from(number)?;
        lanes.push(Lane::connect(order, run, number).await.context("failed to connect")?);
    }
    Ok(lanes)
}

/// Drives all connections until each has the answers to all of its commands.
fn on_one_thread(
    lanes: Vec<Lane>,
    from: u64,
    to: u64,
    most: u64,
    ended: Arc<Notify>,
) -> anyhow::Result<LoadReport> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let window = Rc::new(Window::new(from, to, most, ended));
    let local = LocalSet::new();
    let tally = local.block_on(&runtime, async {
        let running: Vec<_> = lanes
            .into_iter()
            .map(|lane| tokio::task::spawn_local(lane.run(Rc::clone(&window))))
            .collect();
        let mut all = Tally::default();
        for lane in running {
            all.add(&lane.await??);
        }
        anyhow::Ok(all)
    })?;
    Ok(LoadReport {
        jobs: tally.measured,
        seconds: window.seconds(),
        latency: tally.latencies.summary(),
        numbered: tally.jobs,
        stored: tally.jobs,
        cut_short: window.ran_out(),
        ..LoadReport::default()
    })
}
