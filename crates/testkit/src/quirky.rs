//! A scripted work server: on each connection, by its number, the server does exactly what the test
//! says. For behaviour of Faktory and of networks that the broker does not show.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The scripted server. It ends when this value is dropped.
pub struct Quirky {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Quirky {
    /// Runs `script` for each connection, with the number of that connection, counted from 0.
    pub async fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(usize, Session) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let number = counter.fetch_add(1, Ordering::SeqCst);
                sessions.spawn(script(number, Session { stream: BufReader::new(stream) }));
            }
        });
        Self { address, accepted, task }
    }

    /// The address at which the server listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of accepted connections so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// A link configuration for this server, with short deadlines.
    #[must_use]
    pub fn link(&self) -> faktory_link::LinkConfig {
        faktory_link::LinkConfig {
            connect_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(3),
            write_timeout: Duration::from_secs(3),
            max_connections: 4,
            ..faktory_link::LinkConfig::new(self.address.ip().to_string(), self.address.port())
        }
    }
}

impl Drop for Quirky {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection of the scripted server.
pub struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    /// Greets, reads the HELLO, and answers OK; returns the HELLO, or `None` where the client
    /// closed.
    pub async fn welcome(&mut self) -> Option<String> {
        self.send("+HI {\"v\":2}\r\n").await;
        let hello = self.line().await?;
        self.send("+OK\r\n").await;
        Some(hello)
    }

    /// Reads a line without its ending; `None` at the end of the connection.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// Sends text in one write.
    pub async fn send(&mut self, text: &str) {
        let _ = self.stream.get_mut().write_all(text.as_bytes()).await;
    }

    /// Sends a bulk reply as Faktory does: header, body and ending in three writes, here with
    /// pauses between the writes.
    pub async fn send_bulk_in_pieces(&mut self, body: &str) {
        for piece in [format!("${}\r\n", body.len()), body.to_owned(), "\r\n".to_owned()] {
            self.send(&piece).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Answers every command of a push with success, until the client closes.
    pub async fn take_everything(&mut self) {
        while let Some(line) = self.line().await {
            let reply = if line.starts_with("PUSHB") { "$2\r\n{}\r\n" } else { "+OK\r\n" };
            self.send(reply).await;
        }
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        self.stream.into_inner().set_zero_linger().unwrap();
    }

    /// Sends nothing until the client closes.
    pub async fn silence(&mut self) {
        let mut sink = [0; 1024];
        while matches!(self.stream.read(&mut sink).await, Ok(count) if count > 0) {}
    }
}
