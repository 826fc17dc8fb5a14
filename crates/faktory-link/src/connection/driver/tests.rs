//! The time of a write, on a clock of the test.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::*;
use crate::arrival::PROGRESS_MIN;

/// The time of a write in these tests.
const LIMIT: Duration = Duration::from_secs(30);

/// A stream that takes `piece` bytes after each pause.
struct Slow {
    piece: usize,
    next: Pin<Box<Sleep>>,
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        std::task::ready!(self.next.as_mut().poll(context));
        self.next = Box::pin(sleep(LIMIT - Duration::from_secs(1)));
        Poll::Ready(Ok(self.piece.min(bytes.len())))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl OverTcp for Slow {
    fn ask<T>(&self, _: fn(&TcpStream) -> T) -> Option<T> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_a_few_bytes_now_and_then_is_given_up_and_a_slow_one_is_not() {
    let config = LinkConfig { write_timeout: LIMIT, ..LinkConfig::new("h", 1) };
    let state = Arc::new(State::new(&config, Duration::ZERO, faktory_wire::Abilities::default()));
    let driver = Driver { state, config };
    let wire = vec![b'x'; 1 << 20];
    for (piece, is_slow_alone) in [(4 << 10, false), (PROGRESS_MIN, true)] {
        let mut stream = Slow { piece, next: Box::pin(sleep(Duration::ZERO)) };
        let written = driver.write_all(&mut stream, &wire, &mut VecDeque::new()).await;
        let timed_out = matches!(written, Err(LinkError::Timeout { phase: Phase::Write, .. }));
        assert_eq!((written.is_ok(), timed_out), (is_slow_alone, !is_slow_alone), "{piece}");
    }
}

#[tokio::test]
async fn whoever_waits_for_a_reply_is_told_that_none_comes_where_the_driver_breaks_off() {
    let config = LinkConfig::new("h", 1);
    let state = Arc::new(State::new(&config, Duration::ZERO, faktory_wire::Abilities::default()));
    let (reply, mut answered) = oneshot::channel();
    let waiter = Waiter { reply, end: 1, since: None, _window: None };
    state.in_flight().waiters.push_back(waiter);
    let driver = Driver { state: Arc::clone(&state), config };
    let broke_off = tokio::spawn(async move {
        let _driver = driver;
        panic!("deliberate");
    });
    assert!(broke_off.await.unwrap_err().is_panic());
    assert!(answered.try_recv().is_ok_and(|reply| reply.is_err()) && state.ended.get().is_some());
}
