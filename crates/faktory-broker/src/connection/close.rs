//! The end of a connection, such that the last reply arrives. A socket that is closed while it
//! holds unread bytes resets the connection, and a reset can take the last replies with it; so the
//! input is read to its end first.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use faktory_wire::Reply;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::patience::{in_steps, within};
use super::tls;
use super::writer::send;
use crate::delivery::Delivery;

/// The longest wait for a served client to close its side and to acknowledge its replies.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes that are taken out of a socket which is closed: as many as Linux keeps in one
/// (tcp_rmem of tcp(7)), so that a client that sends on and on does not keep us.
const UNREAD_MAX: usize = 6 << 20;
/// The longest wait for a refused client to read the reason.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(500);

/// Closes a connection whose replies have all been written, and waits until the replies have
/// arrived.
pub(super) async fn after_last_reply(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    stream: &TcpStream,
    input_ended: bool,
    delivery: &mut Delivery<'_>,
) {
    let arrive = async {
        // TLS writes a `close_notify`, which may have to wait for a client that reads nothing.
        if writer.shutdown().await.is_err() {
            return;
        }
        if !input_ended && discard(reader).await.is_err() {
            return;
        }
        let mut pause = Duration::from_millis(1);
        while !delivery.all_arrived() && matches!(stream.take_error(), Ok(None)) {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    };
    let _ = within(CLOSE_TIMEOUT, stream, arrive).await;
}

/// Takes out of the socket what lies in it unread. After this the system closes the connection
/// without a reset, unless the client sends more.
pub(super) fn discard_unread(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let mut sink = [MaybeUninit::uninit(); 16 << 10];
    let mut left = UNREAD_MAX;
    while let Ok(count @ 1..) = socket.recv(&mut sink) {
        left = left.saturating_sub(count);
        if left == 0 {
            return;
        }
    }
}

/// Sends a client the reason of its refusal, and closes the connection.
pub(super) async fn refuse(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    reply: &Reply,
) {
    let mut wire = Vec::new();
    reply.encode(&mut wire);
    let refusal = async {
        if send(writer, &wire).await.is_ok() && writer.shutdown().await.is_ok() {
            let _ = discard(reader).await;
        }
    };
    let _ = in_steps(REFUSAL_TIMEOUT, std::pin::pin!(refusal)).await;
}

/// Reads to the end of the input and forgets what was read.
async fn discard(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut sink = [0; 4096];
    while tls::end_without_close_notify(stream.read(&mut sink).await)? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_socket_with_unread_bytes_is_closed_without_a_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"the last reply").await.unwrap();
        client.write_all(&[b'x'; 1000]).await.unwrap();
        stream.readable().await.unwrap();
        discard_unread(&stream);
        drop(stream);
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"the last reply");
    }
}
