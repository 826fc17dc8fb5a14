//! A hostile client as a process of its own: does its worst until it is told to end. The lines that
//! it sends are written by hand, because our own link sends nothing of that kind.

mod broker;
mod http;
mod session;

use std::time::Duration;

use tokio::task::JoinSet;

use super::Channel;
use super::order::{Attack, Event, HostileOrder};

pub(crate) use session::Session;

/// The pause after an attempt that failed: a refusal must not turn into a loop without rest, which
/// would measure this process and not the server.
const AFTER_FAILURE: Duration = Duration::from_millis(20);

pub(crate) async fn run(order: HostileOrder, mut channel: Channel) -> anyhow::Result<()> {
    if !order.attack.is_of_api() {
        broker::prepare(&order).await?;
    }
    Channel::say(&Event::Ready(None));
    let order: &'static HostileOrder = Box::leak(Box::new(order));
    let mut clients = JoinSet::new();
    match order.attack {
        Attack::Glob
        | Attack::FetchNames
        | Attack::MutateIds
        | Attack::LatencyNames
        | Attack::Pushb => broker::lines(order, &mut clients),
        Attack::InfoUnread => broker::unread_infos(order, &mut clients),
        Attack::WrongPasswords => broker::wrong_passwords(order, &mut clients),
        Attack::HalfLines => broker::half_lines(order, &mut clients),
        Attack::SilentBroker => {
            let at = format!("{}:{}", order.server.host, order.server.port);
            session::silent(at, &mut clients);
        }
        Attack::SilentApi => session::silent(order.api.clone(), &mut clients),
        Attack::GzipEmpty | Attack::ZstdEmpty | Attack::ZstdSkipped => {
            http::empty_bodies(order, &mut clients);
        }
        Attack::WrongKeys => http::wrong_keys(order, &mut clients),
        Attack::Unpacked => http::unpacked(order, &mut clients),
    }
    channel.end().await;
    Ok(())
}

/// Does something over and over, with a pause where it failed.
async fn forever<F: Future<Output = anyhow::Result<()>>>(mut once: impl FnMut() -> F) {
    loop {
        if once().await.is_err() {
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }
}
