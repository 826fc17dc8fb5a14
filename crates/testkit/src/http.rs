//! A small HTTP client over hyper: a connection for each request, or one for many requests.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; null where the body is no JSON.
    pub body: Value,
}

/// A client with one connection, which is kept alive.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Sends a request with headers, and reads the answer.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> std::io::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        self.sender.ready().await.map_err(std::io::Error::other)?;
        let response = self.sender.send_request(request).await.map_err(std::io::Error::other)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// Posts JSON.
    pub async fn post(&mut self, path: &str, json: impl Into<Bytes>) -> std::io::Result<Answer> {
        self.send(Method::POST, path, &[("content-type", "application/json")], json).await
    }
}

/// Posts JSON on a new connection.
pub async fn post(
    address: SocketAddr,
    path: &str,
    json: impl Into<Bytes>,
) -> std::io::Result<Answer> {
    Client::connect(address).await?.post(path, json).await
}

/// Makes a GET request on a new connection.
pub async fn get(address: SocketAddr, path: &str) -> std::io::Result<Answer> {
    Client::connect(address).await?.send(Method::GET, path, &[], "").await
}

/// Makes a GET request for text; returns the answer with its head.
///
/// # Errors
/// Where the server can't be reached, or stops in the middle of its answer.
pub async fn get_text(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n").as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
