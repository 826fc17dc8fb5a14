//! The brake: a proxy that limits a work server to a rate of jobs. Pushes wait for their turn on
//! the way to the work server; replies pass at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::order::BrakeOrder;
use super::{Channel, serve};

/// The turns of pushed jobs, at the limited rate.
struct Turns {
    /// The time at which all jobs so far have had their turn.
    free_at: Mutex<Instant>,
    /// The length of a turn.
    each: Duration,
}

impl Turns {
    /// Takes the turns of this many jobs; returns the time at which these turns end.
    fn take(&self, jobs: u32) -> Instant {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        *free_at = (*free_at).max(Instant::now()) + self.each * jobs;
        *free_at
    }
}

pub(crate) async fn run(order: BrakeOrder, channel: Channel) -> anyhow::Result<()> {
    let turns = Turns {
        free_at: Mutex::new(Instant::now()),
        each: Duration::from_secs_f64(1.0 / order.jobs_per_second.max(1.0)),
    };
    let turns = Arc::new(turns);
    let pass = move |client| {
        let turns = Arc::clone(&turns);
        async move { pass(client, order.server, &turns).await }
    };
    serve::serve(order.bind, channel, pass).await
}

async fn pass(
    client: TcpStream,
    server: std::net::SocketAddr,
    turns: &Turns,
) -> std::io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let commands = async {
        let mut lines = BufReader::new(from_client);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).await? > 0 {
            let jobs = pushed(&line);
            if jobs > 0 {
                tokio::time::sleep_until(turns.take(jobs)).await;
            }
            to_server.write_all(&line).await?;
            line.clear();
        }
        to_server.shutdown().await
    };
    let replies = async { tokio::io::copy(&mut from_server, &mut to_client).await.map(|_| ()) };
    tokio::try_join!(commands, replies).map(|_| ())
}

/// The number of jobs that a line pushes.
fn pushed(line: &[u8]) -> u32 {
    if !line.starts_with(b"PUSH") {
        return 0;
    }
    let count = line.windows(6).filter(|window| *window == b"\"jid\":").count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_jobs_of_pushes_count() {
        assert_eq!(pushed(b"PUSHB [{\"jid\":\"a\"},{\"jid\":\"b\"}]\r\n"), 2);
        assert_eq!(pushed(b"PUSHB []\r\n"), 0);
        assert_eq!(pushed(b"ACK {\"jid\":\"a\"}\r\n"), 0);
    }
}
