//! The time that a client gets. Where the process stood still, the time of its own standing is not
//! held against the client.

use std::pin::Pin;
use std::time::Duration;

use tokio::net::TcpStream;

use super::catching_up::is_readable;

/// The steps in which a time passes. However long the process stands still, one step passes.
const STEPS: u32 = 8;

/// The output of `work`, or `None` after `time`. Where bytes of the client lie unread at that
/// moment, the time begins anew, once.
pub(super) async fn within<T>(
    time: Duration,
    stream: &TcpStream,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    match in_steps(time, work.as_mut()).await {
        None if is_readable(stream) => in_steps(time, work).await,
        output => output,
    }
}

/// The output of `work`, or `None` after `time`.
pub(crate) async fn in_steps<T>(
    time: Duration,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    for _ in 0..STEPS {
        if let Ok(output) = tokio::time::timeout(time / STEPS, work.as_mut()).await {
            return Some(output);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_time_begins_anew_once_where_bytes_lie_unread() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let time = Duration::from_millis(80);
        let never = std::future::pending::<()>;
        assert!(within(time, &stream, never()).await.is_none());
        client.write_all(b"HELLO").await.unwrap();
        stream.readable().await.unwrap();
        let longer = tokio::time::sleep(time * 3 / 2);
        assert!(within(time, &stream, longer).await.is_some());
        assert!(within(time, &stream, never()).await.is_none());
    }
}
