//! A delaying TCP proxy, for machines without network namespaces.
//!
//! The proxy delays bytes, not packets. Its connections on both sides are local, so they show no
//! slow start, no loss and no retransmissions. The first bytes to the far side wait for one more
//! round trip, as for a handshake.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::settings::Settings;

/// The most bytes of one read.
const CHUNK: usize = 64 << 10;
/// The most chunks in flight in one direction of a connection.
const IN_FLIGHT: usize = 1024;

/// A TCP port that leads to another port with a delay. When the proxy is dropped, its connections
/// end too.
#[derive(Debug)]
pub struct DelayProxy {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl DelayProxy {
    /// Listens on a free loopback port, and delays the bytes to and from `target`. Of the settings,
    /// only delay, jitter and rate are used; loss can't be emulated above TCP.
    ///
    /// # Errors
    /// Where no port is free.
    pub async fn start(target: SocketAddr, there: Settings, back: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, target, there, back));
        Ok(Self { address, task })
    }

    /// The address at which the proxy listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, there: Settings, back: Settings) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(carry(stream, target, there, back));
                }
                // Too few descriptors, for example: descriptors are free when a connection ends.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(near: TcpStream, target: SocketAddr, there: Settings, back: Settings) {
    let opened = Instant::now();
    tokio::time::sleep(there.delay).await;
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let handshake = opened + there.delay + back.delay;
    tokio::join!(
        direction(near_read, far_write, there, handshake + there.delay),
        // The far side's first bytes leave when the handshake has reached the far side.
        direction(far_read, near_write, back, opened + there.delay + back.delay),
    );
}

/// Carries bytes until the end of the input or the first error; writes nothing before `earliest`.
async fn direction(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    settings: Settings,
    earliest: Instant,
) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(IN_FLIGHT);
    let read = async move {
        let mut wire_free = Instant::now();
        loop {
            let mut chunk = vec![0; CHUNK];
            let Ok(length @ 1..) = from.read(&mut chunk).await else { return };
            chunk.truncate(length);
            let mut leaves = Instant::now();
            if let Some(rate) = settings.rate {
                wire_free = wire_free.max(leaves)
                    + Duration::from_secs_f64(length as f64 * 8.0 / rate.max(1) as f64);
                leaves = wire_free;
            }
            let due = leaves + settings.delay + settings.jitter.mul_f64(fastrand::f64());
            if sender.send((due.max(earliest), chunk)).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = receiver.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
