//! Attacks on an API.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::forever;
use crate::part::order::{Attack, HostileOrder};

const BODY: usize = 10_000_000;
const AT_ONCE: usize = 4;
const GUESSERS: usize = 16;
const UNPACKED_AT_ONCE: usize = 80;
/// Nearly the largest body that the API takes by default, 16 MiB.
const UNPACKED: usize = 16_700_000;

/// Bodies that decode to nothing.
pub(super) fn empty_bodies(order: &'static HostileOrder, clients: &mut JoinSet<()>) {
    let (encoding, piece) = empty(order.attack);
    let body: Arc<[u8]> = piece.repeat(BODY / piece.len()).into();
    let request = Request { order, encoding, key: &order.key, body };
    request.repeat(AT_ONCE, clients);
}

/// The smallest piece of an encoding that holds nothing.
fn empty(attack: Attack) -> (&'static str, Vec<u8>) {
    match attack {
        // RFC 8878: magic number, a descriptor for a single segment, the content's size of 0, and a
        // last raw block of 0 bytes.
        Attack::ZstdEmpty => ("zstd", vec![0x28, 0xB5, 0x2F, 0xFD, 0x20, 0, 1, 0, 0]),
        // RFC 8878, 3.1.2: magic number, and a size of 0.
        Attack::ZstdSkipped => ("zstd", vec![0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0]),
        _ => ("gzip", gzip(&[])),
    }
}

/// Bodies that are small on the wire and large in memory.
pub(super) fn unpacked(order: &'static HostileOrder, clients: &mut JoinSet<()>) {
    let text = format!(
        "{{\"jobtype\":\"x\",\"args\":[\"{}\"],\"queue\":\"hostile\"}}",
        "a".repeat(UNPACKED)
    );
    let body: Arc<[u8]> = gzip(text.as_bytes()).into();
    Request { order, encoding: "gzip", key: &order.key, body }.repeat(UNPACKED_AT_ONCE, clients);
}

/// Posts with a key that does not exist.
pub(super) fn wrong_keys(order: &'static HostileOrder, clients: &mut JoinSet<()>) {
    let body: Arc<[u8]> = b"{\"operation\":\"add\",\"args\":[1,2]}".as_slice().into();
    Request { order, encoding: "identity", key: "wf_wrong", body }.repeat(GUESSERS, clients);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// A request that is made over and over.
#[derive(Clone)]
struct Request {
    order: &'static HostileOrder,
    encoding: &'static str,
    key: &'static str,
    body: Arc<[u8]>,
}

impl Request {
    fn repeat(self, at_once: usize, clients: &mut JoinSet<()>) {
        for _ in 0..at_once {
            let request = self.clone();
            clients.spawn(forever(move || {
                let request = request.clone();
                async move { request.make().await }
            }));
        }
    }

    /// Makes requests on one connection until it ends.
    async fn make(&self) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(&self.order.api).await?;
        let head = format!(
            "POST /jobs HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-encoding: {}\r\ncontent-length: {}\r\n\r\n",
            self.order.api,
            self.key,
            self.encoding,
            self.body.len()
        );
        loop {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&self.body).await?;
            answer(&mut stream).await?;
        }
    }
}

/// Reads an answer and forgets it.
async fn answer(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut read = Vec::new();
    loop {
        anyhow::ensure!(stream.read_buf(&mut read).await? > 0, "the connection has ended");
        if is_whole(&read).context("the answer has no length")? {
            return Ok(());
        }
    }
}

/// Whether these bytes are a whole answer; `None` for a head without a length.
fn is_whole(read: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(read).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Some(false) };
    let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?;
    Some(body.len() >= length.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is_there() {
        let head = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(is_whole(b"HTTP/1.1 401"), Some(false));
        assert_eq!(is_whole(format!("{head}a").as_bytes()), Some(false));
        assert_eq!(is_whole(format!("{head}ab").as_bytes()), Some(true));
        assert_eq!(is_whole(b"HTTP/1.1 200 OK\r\n\r\n"), None);
    }

    #[test]
    fn the_empty_pieces_decode_to_nothing() {
        use std::io::Read;
        let mut none = String::new();
        let gzip = empty(Attack::GzipEmpty).1.repeat(3);
        flate2::read::MultiGzDecoder::new(gzip.as_slice()).read_to_string(&mut none).unwrap();
        assert_eq!(none, "");
    }
}
