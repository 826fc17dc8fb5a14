//! The API as a process of its own, started in the same way as by the binary `api-service`.

use std::net::SocketAddr;
use std::time::Duration;

use api_service::{Api, ApiConfig};
use client::Client;
use service_runtime::Role;

use super::Channel;
use super::clock::now_us;
use super::order::{ApiOrder, Event};

/// The time between two questions whether the API is ready.
const ASK: Duration = Duration::from_millis(5);

pub(crate) async fn run(order: ApiOrder, mut channel: Channel) -> anyhow::Result<()> {
    let mut config = ApiConfig::from_settings(&service_runtime::start(Role::Api, None)?);
    config.link = order.server.reached_with(config.link);
    let api = Api::start(config).await?;
    Channel::say(&Event::Ready(Some(api.address())));
    tokio::select! {
        () = until_ready(api.address()) => {
            Channel::say(&Event::Serves { after_us: now_us().saturating_sub(order.began_us) });
            channel.end().await;
        }
        () = channel.end() => {}
    }
    api.stop(Duration::from_secs(2)).await;
    Ok(())
}

async fn until_ready(address: SocketAddr) {
    let Ok(client) = Client::builder(&format!("http://{address}")).attempts(1).build() else {
        return;
    };
    while client.ready().await.is_err() {
        tokio::time::sleep(ASK).await;
    }
}
