//! A client of the Faktory protocol for tests: lines out, replies in, nothing hidden.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use faktory_wire::{Greeting, Info, Job, Reply, ReplyDecoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection.
pub struct WireClient {
    stream: TcpStream,
    decoder: ReplyDecoder,
    buffer: BytesMut,
    /// What the server greeted with.
    pub greeting: Option<Greeting>,
}

impl WireClient {
    /// Connects, and reads nothing yet.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, decoder: ReplyDecoder::new(1 << 30), buffer: BytesMut::new(), greeting: None }
    }

    /// Connects and says HELLO, without a worker id.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut client = Self::open(address).await;
        client.read().await.unwrap();
        assert_eq!(client.ask(r#"HELLO {"v":2}"#).await, Reply::OK);
        client
    }

    /// Sends bytes as they are.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        // A server that has closed may refuse them; the reply to come tells.
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends a line.
    pub async fn send(&mut self, line: &str) {
        self.send_raw(format!("{line}\r\n").as_bytes()).await;
    }

    /// Reads a reply; `None` at the end of the connection.
    pub async fn read(&mut self) -> Option<Reply> {
        tokio::time::timeout(PATIENCE, self.next()).await.expect("a reply comes")
    }

    async fn next(&mut self) -> Option<Reply> {
        loop {
            if let Some(reply) = self.decoder.decode(&mut self.buffer).expect("the protocol is kept") {
                if let (Reply::Simple(text), None) = (&reply, &self.greeting) {
                    self.greeting = Greeting::parse(text).ok();
                }
                return Some(reply);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Sends a line and reads its reply.
    pub async fn ask(&mut self, line: &str) -> Reply {
        self.send(line).await;
        self.read().await.unwrap_or_else(|| panic!("the connection ended instead of an answer to {line}"))
    }

    /// Fetches a job; `None` where there is none.
    pub async fn fetch(&mut self, queue: &str) -> Option<Job> {
        match self.ask(&format!("FETCH {queue}")).await {
            Reply::Bulk(body) => Some(Job::parse(&body).unwrap()),
            Reply::Nothing => None,
            other => panic!("{other:?}"),
        }
    }

    /// The server's account of itself.
    pub async fn info(&mut self) -> Info {
        match self.ask("INFO").await {
            Reply::Bulk(body) => serde_json::from_slice(&body).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Closes the sending side.
    pub async fn half_close(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Ends the connection with a reset: what is on its way to us is refused.
    pub fn reset(self) {
        // Zero linger makes close send a reset.
        self.stream.set_zero_linger().unwrap();
    }
}
