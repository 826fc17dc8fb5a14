//! The time that a client gets. Where the process stood still, the time of its own standing is not
//! held against the client.

use std::pin::Pin;
use std::time::Duration;

use tokio::net::TcpStream;

use super::catching_up::is_readable;

/// The steps in which a time passes. However long the process stands still, one step passes.
const STEPS: u32 = 8;

/// The time that a client gets for some work, or for several in turn, such as TLS and the handshake
/// above it: together they take no more than two times a time.
#[derive(Debug)]
pub(super) struct Patience {
    step: Duration,
    /// The steps that are left of two times.
    left: u32,
}

impl Patience {
    /// Work for which there is `time`, which may begin anew.
    pub(super) fn of(time: Duration) -> Self {
        Self { step: time / STEPS, left: 2 * STEPS }
    }

    /// The output of `work`, or `None` after the time. Where bytes of the client lie unread at that
    /// moment, the time begins anew, as far as earlier work has left some. Cancel safe where `work`
    /// is.
    pub(super) async fn within<T>(
        &mut self,
        stream: &TcpStream,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = std::pin::pin!(work);
        match self.once(work.as_mut()).await {
            None if is_readable(stream) => self.once(work).await,
            output => output,
        }
    }

    async fn once<T>(&mut self, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        for _ in 0..STEPS.min(self.left) {
            self.left -= 1;
            if let Ok(output) = tokio::time::timeout(self.step, work.as_mut()).await {
                return Some(output);
            }
        }
        None
    }
}

/// The output of `work`, or `None` after `time`. Where bytes of the client lie unread at that
/// moment, the time begins anew, once.
pub(super) async fn within<T>(
    time: Duration,
    stream: &TcpStream,
    work: impl Future<Output = T>,
) -> Option<T> {
    Patience::of(time).within(stream, work).await
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

    #[tokio::test(start_paused = true)]
    async fn works_in_turn_have_two_times_together() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        client.write_all(b"HELLO").await.unwrap();
        stream.readable().await.unwrap();
        let time = Duration::from_secs(2);
        for (first, second, in_time) in [(1, 1, true), (1, 4, false), (3, 2, false), (3, 0, true)] {
            let mut patience = Patience::of(time);
            let work = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
            assert!(patience.within(&stream, work(first)).await.is_some());
            let second = patience.within(&stream, work(second)).await;
            assert_eq!(second.is_some(), in_time, "{first} s before");
        }
        let mut patience = Patience::of(time);
        assert!(patience.within(&stream, std::future::pending::<()>()).await.is_none());
        assert!(patience.within(&stream, std::future::ready(())).await.is_none());
    }
}
