//! The time of a reply, on a clock of the test, over a stream of the test.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::sleep_until;

use super::*;
use crate::connection::state::Waiter;
use crate::error::Lost;
use crate::reply_budget::ReplyBudget;

/// The time of a reply in these tests.
const LIMIT: Duration = Duration::from_secs(10);

/// A stream of pieces, each of which arrives at its time; silent after the last.
struct Pieces {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    next: Pin<Box<Sleep>>,
}

impl Pieces {
    /// `bytes` in pieces of `size`, one after each `pause`.
    fn new(bytes: &[u8], size: usize, pause: Duration) -> Self {
        let mut at = Instant::now();
        let piece = |piece: &[u8]| {
            at += pause;
            (at, piece.to_vec())
        };
        let pieces: VecDeque<_> = bytes.chunks(size).map(piece).collect();
        Self { next: Box::pin(sleep_until(pieces[0].0)), pieces }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let Some((at, bytes)) = self.pieces.pop_front() else { return Poll::Pending };
        self.next.as_mut().reset(at);
        if self.next.as_mut().poll(context).is_pending() {
            self.pieces.push_front((at, bytes));
            return Poll::Pending;
        }
        let (now, later) = bytes.split_at(bytes.len().min(buffer.remaining()));
        buffer.put_slice(now);
        if !later.is_empty() {
            self.pieces.push_front((at, later.to_vec()));
        }
        Poll::Ready(Ok(()))
    }
}

impl OverTcp for Pieces {
    fn ask<T>(&self, _: fn(&TcpStream) -> T) -> Option<T> {
        None
    }

    fn has_arrivals(&self) -> bool {
        self.pieces.front().is_some_and(|(at, _)| *at <= Instant::now())
    }
}

fn config() -> LinkConfig {
    LinkConfig { read_timeout: LIMIT, ..LinkConfig::new("h", 1) }
}

/// What a waiter gets for its command: the reply, or why the connection ended; and when.
async fn reply(stream: Pieces, buffer: BytesMut) -> (Result<Reply, LinkError>, Duration) {
    reply_with(config(), stream, buffer).await
}

async fn reply_with(
    config: LinkConfig,
    stream: Pieces,
    buffer: BytesMut,
) -> (Result<Reply, LinkError>, Duration) {
    reply_since(Instant::now(), config, stream, buffer).await
}

/// As [`reply_with`], to a command that was written at this time.
async fn reply_since(
    written: Instant,
    config: LinkConfig,
    stream: Pieces,
    buffer: BytesMut,
) -> (Result<Reply, LinkError>, Duration) {
    let begun = Instant::now();
    let state = State::new(&config, Duration::ZERO, faktory_wire::Abilities::default());
    let (told, answered) = oneshot::channel::<Result<Reply, Lost>>();
    let waiter = Waiter { reply: told, end: 0, since: Some(written), _window: None };
    state.in_flight().waiters.push_back(waiter);
    let reader = Reader { state: &state, config: &config };
    let answer = tokio::select! {
        biased;
        cause = reader.read(stream, buffer) => Err(cause),
        answer = answered => Ok(answer.unwrap().unwrap()),
    };
    (answer, begun.elapsed())
}

fn bulk(length: usize) -> Vec<u8> {
    [format!("${length}\r\n").as_bytes(), &vec![b'x'; length], b"\r\n"].concat()
}

#[tokio::test(start_paused = true)]
async fn a_large_reply_that_comes_slowly_and_steadily_arrives() {
    // 3 MB at 20 kB every 100 ms, and the slowest that is allowed.
    for (length, size, pause, least) in [
        (3_000_000, 20_000, Duration::from_millis(97), Duration::from_secs(14)),
        (1_000_000, 8_000, Duration::from_millis(997), Duration::from_secs(100)),
    ] {
        let (answer, took) = reply(Pieces::new(&bulk(length), size, pause), BytesMut::new()).await;
        assert!(matches!(&answer, Ok(Reply::Bulk(body)) if body.len() == length), "{answer:?}");
        assert!(took >= least, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_trickle_ends() {
    for length in [60_000, 3_000_000] {
        // At the end of each time something has always just come.
        let pieces = Pieces::new(&bulk(length), 4, Duration::from_millis(1));
        let slow = Pieces::new(&bulk(length), 60, Duration::from_millis(10));
        for stream in [pieces, slow] {
            let (answer, took) = reply(stream, BytesMut::new()).await;
            let is_late = matches!(answer, Err(LinkError::Timeout { phase: Phase::Reply, .. }));
            let arrived = matches!(answer, Ok(Reply::Bulk(_)));
            assert!(is_late || (arrived && length == 60_000), "{answer:?}");
            assert!(took <= 3 * LIMIT, "{took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_has_one_time() {
    let (answer, took) = reply(Pieces::new(b"$9\r\nhalf", 8, LIMIT / 2), BytesMut::new()).await;
    assert!(matches!(answer, Err(LinkError::Timeout { phase: Phase::Reply, .. })), "{answer:?}");
    assert!(took < LIMIT + LIMIT / 10, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_large_reply_waits_for_memory_whatever_room_the_buffer_has() {
    for length in [(64 << 10) + 1, 100_000, 128 << 10] {
        let budget = Arc::new(ReplyBudget::new(1 << 20));
        let all = budget.grant(1 << 20).await;
        let given_back = LIMIT * 5;
        tokio::spawn(async move {
            tokio::time::sleep(given_back).await;
            drop(all);
        });
        let config = LinkConfig { reply_budget: Some(budget), ..config() };
        let stream = Pieces::new(&bulk(length), 1 << 20, Duration::ZERO);
        let (answer, took) = reply_with(config, stream, BytesMut::with_capacity(1 << 20)).await;
        assert!(matches!(&answer, Ok(Reply::Bulk(body)) if body.len() == length), "{answer:?}");
        assert!(took >= given_back, "{took:?}");
    }
    // The largest small reply needs no grant.
    let budget = Arc::new(ReplyBudget::new(1 << 20));
    let _all = budget.grant(1 << 20).await;
    let config = LinkConfig { reply_budget: Some(budget), ..config() };
    let stream = Pieces::new(&bulk(64 << 10), 1 << 20, Duration::ZERO);
    let (answer, _) = reply_with(config, stream, BytesMut::with_capacity(1 << 20)).await;
    assert!(matches!(&answer, Ok(Reply::Bulk(body)) if body.len() == 64 << 10), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn the_time_in_which_this_process_stood_still_does_not_count() {
    let stopped = async {
        tokio::time::sleep(LIMIT / 10).await;
        tokio::time::advance(3 * LIMIT).await;
    };
    // The server stood still too, so that its reply comes only afterwards.
    let late = Pieces::new(b"+OK\r\n", 5, 3 * LIMIT + LIMIT / 2);
    let ((answer, _), ()) = tokio::join!(reply(late, BytesMut::new()), stopped);
    assert!(matches!(answer, Ok(Reply::Simple(_))), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_between_the_writing_of_a_command_and_the_first_look_does_not_count_either() {
    let written = Instant::now();
    tokio::time::advance(3 * LIMIT).await;
    let late = Pieces::new(b"+OK\r\n", 5, LIMIT / 2);
    let (answer, _) = reply_since(written, config(), late, BytesMut::new()).await;
    assert!(matches!(answer, Ok(Reply::Simple(_))), "{answer:?}");
    // A server that is silent from then on has one time.
    let written = Instant::now();
    tokio::time::advance(3 * LIMIT).await;
    let silent = Pieces::new(b"+OK\r\n", 5, 9 * LIMIT);
    let (answer, took) = reply_since(written, config(), silent, BytesMut::new()).await;
    assert!(matches!(answer, Err(LinkError::Timeout { phase: Phase::Reply, .. })), "{answer:?}");
    assert!(took <= LIMIT, "{took:?}");
}
