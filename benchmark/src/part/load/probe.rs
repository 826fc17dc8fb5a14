//! A client that connects anew each second and asks one question: whether a server still has a
//! place and an answer for somebody who comes.

use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::measure::{Latencies, Latency};
use crate::part::clock::micros;
use crate::part::hostile::Session;
use crate::part::order::{LoadOrder, Probed, Via};

/// The time between two questions.
const EACH: Duration = Duration::from_secs(1);
/// The longest wait for an answer.
const GIVE_UP: Duration = Duration::from_secs(30);

/// Asks until this future is dropped, and notes each answer in `seen`: INFO of the work server, or
/// `GET /health` where the load goes through the API.
pub(super) async fn run(order: &LoadOrder, seen: &mut Probes) {
    tokio::time::sleep(order.warm_up).await;
    loop {
        let begun = Instant::now();
        let asked = timeout(GIVE_UP, ask(order)).await;
        match asked {
            Ok(Ok(())) => seen.latencies.record(micros(begun.elapsed())),
            Ok(Err(error)) => seen.failed(format!("{error:#}")),
            Err(_) => seen.failed(format!("no answer within {GIVE_UP:?}")),
        }
        tokio::time::sleep_until(begun + EACH).await;
    }
}

/// The answers so far.
#[derive(Default)]
pub(super) struct Probes {
    latencies: Latencies,
    failures: u64,
    reason: Option<String>,
}

impl Probes {
    fn failed(&mut self, reason: String) {
        self.failures += 1;
        self.reason.get_or_insert(reason);
    }

    /// What was seen.
    pub(super) fn summary(self) -> Probed {
        let latency: Latency = self.latencies.summary();
        Probed { latency, failures: self.failures, reason: self.reason }
    }
}

async fn ask(order: &LoadOrder) -> anyhow::Result<()> {
    if order.via == Via::Http {
        return health(order.api.as_deref().context("the order has no API")?).await;
    }
    let server = order.server.as_ref().context("the order has no work server")?;
    Session::open(server, true).await?.ask(b"INFO\r\n").await
}

async fn health(api: &str) -> anyhow::Result<()> {
    let address = api.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let line = String::from_utf8_lossy(answer.get(..12).unwrap_or_default()).into_owned();
    anyhow::ensure!(line == "HTTP/1.1 200", "GET /health: {line:?}");
    Ok(())
}
