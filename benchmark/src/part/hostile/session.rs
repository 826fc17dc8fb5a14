//! A connection to a work server, without our link's rules: whatever line is given is sent.

use std::time::Duration;

use anyhow::{Context, bail};
use faktory_wire::{Greeting, Hello, password_hash};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::part::order::Server;

/// The silent connections of one client.
const SILENT: usize = 2300;
/// The time for which they are held.
const HELD: Duration = Duration::from_secs(2);
/// The connections that one task holds: few, so that all are made at once.
const OF_A_TASK: usize = 10;

/// A connection to a work server.
pub(crate) struct Session(BufReader<TcpStream>);

impl Session {
    /// Connects and says HELLO, with the hash of the password or of a wrong one.
    pub(crate) async fn open(server: &Server, is_right: bool) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
        let mut session = Self(BufReader::new(stream));
        let greeting = session.line().await?;
        let words = greeting.strip_prefix(b"+").context("no greeting")?;
        let greeting = Greeting::parse(words).map_err(|error| anyhow::anyhow!("{error}"))?;
        let pwdhash = match (&greeting.salt, &server.password) {
            // A wrong hash costs its sender nothing.
            (Some(_), _) if !is_right => Some("0".repeat(64)),
            (Some(salt), Some(password)) => {
                Some(password_hash(password, salt, greeting.iterations.unwrap_or(1)))
            }
            _ => None,
        };
        let mut hello = Vec::new();
        Hello { v: 2, pwdhash, ..Hello::default() }.encode(&mut hello);
        session.send(&hello).await?;
        session.reply().await?;
        Ok(session)
    }

    pub(crate) async fn send(&mut self, line: &[u8]) -> anyhow::Result<()> {
        Ok(self.0.write_all(line).await?)
    }

    /// Sends a line and waits for its reply.
    pub(crate) async fn ask(&mut self, line: &[u8]) -> anyhow::Result<()> {
        self.send(line).await?;
        self.reply().await
    }

    /// Reads one reply and forgets it. A refusal is an error.
    pub(crate) async fn reply(&mut self) -> anyhow::Result<()> {
        let line = self.line().await?;
        match line.split_first() {
            Some((b'+' | b':', _)) => Ok(()),
            Some((b'$', length)) => {
                let length: i64 = std::str::from_utf8(length)?.parse()?;
                if let Ok(length) = u64::try_from(length) {
                    let mut rest = (&mut self.0).take(length + 2);
                    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
                }
                Ok(())
            }
            _ => bail!("refused: {}", String::from_utf8_lossy(&line)),
        }
    }

    async fn line(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).await?;
        anyhow::ensure!(line.pop() == Some(b'\n'), "the connection has ended");
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(line)
    }
}

/// Holds very many connections on which nothing is said, and makes new ones again and again.
pub(super) fn silent(address: String, clients: &mut JoinSet<()>) {
    for _ in 0..SILENT / OF_A_TASK {
        let address = address.clone();
        clients.spawn(super::forever(move || {
            let address = address.clone();
            async move {
                let mut held = Vec::with_capacity(OF_A_TASK);
                for _ in 0..OF_A_TASK {
                    held.extend(TcpStream::connect(&address).await.ok());
                }
                tokio::time::sleep(HELD).await;
                Ok(())
            }
        }));
    }
}
