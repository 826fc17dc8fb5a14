//! A part that serves clients.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Channel;
use super::order::Event;

/// Listens, says where, and serves each client until the benchmark wants this part to end.
pub(super) async fn serve<F>(
    bind: SocketAddr,
    mut channel: Channel,
    serve: impl Fn(TcpStream) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(bind).await.context("failed to listen")?;
    Channel::say(&Event::Ready(Some(listener.local_addr()?)));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (client, _) = accepted?;
                connections.spawn(serve(client));
            }
            // A broken connection ends on both sides; the client counts what it has lost.
            Some(_) = connections.join_next() => {}
            () = channel.end() => return Ok(()),
        }
    }
}
