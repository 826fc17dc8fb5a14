//! A client of the Faktory protocol for tests: sends lines, reads replies, and hides nothing.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use faktory_wire::{Greeting, Info, Job, Reply, ReplyDecoder, password_hash};
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificates::Authority;

/// The longest wait for a reply: longer than any wait that a test expects.
const PATIENCE: Duration = Duration::from_secs(30);

/// The byte stream of a connection, with or without TLS.
trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

/// A client with one connection.
pub struct WireClient {
    stream: Box<dyn Bytes>,
    /// The socket below the stream.
    socket: Socket,
    decoder: ReplyDecoder,
    buffer: BytesMut,
    /// The greeting of the server.
    pub greeting: Option<Greeting>,
}

impl WireClient {
    /// Connects, and reads nothing.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let socket = SockRef::from(&stream).try_clone().unwrap();
        Self::over(Box::new(stream), socket)
    }

    fn over(stream: Box<dyn Bytes>, socket: Socket) -> Self {
        Self {
            stream,
            socket,
            decoder: ReplyDecoder::new(1 << 30),
            buffer: BytesMut::new(),
            greeting: None,
        }
    }

    /// Connects and says HELLO, without a worker id.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut client = Self::open(address).await;
        client.read().await.unwrap();
        assert_eq!(client.ask(r#"HELLO {"v":2}"#).await, Reply::OK);
        client
    }

    /// Connects with TLS and says HELLO, without a worker id.
    pub async fn connect_tls(address: SocketAddr, authority: &Authority) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let socket = SockRef::from(&stream).try_clone().unwrap();
        let tls = authority.link_tls("127.0.0.1");
        let stream = TlsConnector::from(tls.config).connect(tls.server_name, stream).await.unwrap();
        let mut client = Self::over(Box::new(stream), socket);
        client.read().await.unwrap();
        assert_eq!(client.ask(r#"HELLO {"v":2}"#).await, Reply::OK);
        client
    }

    /// One try to connect, with TLS where there is an authority, and to say HELLO with a password.
    /// `None` where the server closes the connection before it has answered.
    pub async fn log_in(
        address: SocketAddr,
        password: &str,
        authority: Option<&Authority>,
    ) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).unwrap();
        let socket = SockRef::from(&stream).try_clone().unwrap();
        let stream: Box<dyn Bytes> = match authority {
            None => Box::new(stream),
            Some(authority) => {
                let tls = authority.link_tls("127.0.0.1");
                let connector = TlsConnector::from(tls.config);
                Box::new(connector.connect(tls.server_name, stream).await.ok()?)
            }
        };
        let mut client = Self::over(stream, socket);
        client.read().await?;
        client.say_password(password).await?;
        Some(client)
    }

    /// Answers the greeting with this password. `None` where that is not accepted.
    pub async fn say_password(&mut self, password: &str) -> Option<()> {
        let greeting = self.greeting.clone()?;
        let hash = password_hash(password, &greeting.salt?, greeting.iterations?);
        self.send(&format!(r#"HELLO {{"v":2,"pwdhash":"{hash}"}}"#)).await;
        (self.read().await? == Reply::OK).then_some(())
    }

    /// Sends bytes as they are.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        // A server that has closed the connection may refuse the bytes; the next read shows that.
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
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
            if let Some(reply) =
                self.decoder.decode(&mut self.buffer).expect("the protocol is kept")
            {
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

    /// Reads so many bytes of a reply, before any other reading.
    pub async fn read_raw(&mut self, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        let reading = self.stream.read_exact(&mut read);
        tokio::time::timeout(PATIENCE, reading).await.expect("bytes come").unwrap();
        read
    }

    /// Sends a line and reads its reply.
    pub async fn ask(&mut self, line: &str) -> Reply {
        self.send(line).await;
        self.read()
            .await
            .unwrap_or_else(|| panic!("the connection ended instead of an answer to {line}"))
    }

    /// Fetches a job; `None` where there is none.
    pub async fn fetch(&mut self, queue: &str) -> Option<Job> {
        match self.ask(&format!("FETCH {queue}")).await {
            Reply::Bulk(body) => Some(Job::parse(&body).unwrap()),
            Reply::Nothing => None,
            other => panic!("{other:?}"),
        }
    }

    /// The server's answer to INFO.
    pub async fn info(&mut self) -> Info {
        match self.ask("INFO").await {
            Reply::Bulk(body) => serde_json::from_slice(&body).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Closes the sending half of the connection.
    pub async fn half_close(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Ends the connection with a reset: bytes in flight to this client are refused.
    pub fn reset(self) {
        // With a linger time of zero, close sends a reset.
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}
