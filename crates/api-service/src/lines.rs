//! The lines of a stream's body, each within the limit of its size.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream, HttpBody};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt};
use tokio::runtime::Handle;

use crate::budget::{Budget, Share};
use crate::encoding::{Decoded, Encoding, Memory};
use crate::unread::{DISCARD_BYTES, DISCARD_TIME, Pace};

/// One line, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The text of the line, without the line break.
    Text(u64, Bytes),
    /// The line has more bytes than allowed and was not kept.
    TooLong(u64),
    /// The memory budget had too little left for the line, which was not kept.
    NoMemory(u64),
}

impl Line {
    /// The number of the line.
    pub(crate) const fn number(&self) -> u64 {
        match self {
            Self::Text(number, _) | Self::TooLong(number) | Self::NoMemory(number) => *number,
        }
    }

    /// The bytes of the text that was kept.
    pub(crate) const fn bytes(&self) -> usize {
        match self {
            Self::Text(_, text) => text.len(),
            Self::TooLong(_) | Self::NoMemory(_) => 0,
        }
    }
}

/// Why the rest of a line is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skip {
    TooLong,
    NoMemory,
}

/// The bytes that a line may have without a share of the memory for bodies.
const FREE_BYTES: usize = 64 << 10;

/// A body that its decoder reads, and whose rest is read without the decoder.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<BodyDataStream>>);

impl SharedBody {
    fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(body.into_data_stream())))
    }

    /// True where the end is known to have come.
    fn is_at_end(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }
}

impl Stream for SharedBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(context)
    }
}

/// A body, divided into lines.
pub(crate) struct Lines {
    decoded: Decoded,
    /// The body before it is decoded: its rest can be read after a fault of the encoding.
    raw: SharedBody,
    buffer: BytesMut,
    /// The number of bytes at the beginning of the buffer that hold no line break.
    searched: usize,
    limit: usize,
    /// Why the current line is skipped; `None` where it is kept.
    skipping: Option<Skip>,
    budget: Budget,
    /// The current line's share of the budget.
    share: Option<Share>,
    number: u64,
    ended: bool,
}

impl Lines {
    /// The lines of a body in this encoding, each of at most `limit` bytes, decoded `there`.
    pub(crate) fn new(
        encoding: Encoding,
        body: Body,
        limit: usize,
        budget: Budget,
        there: &Handle,
    ) -> Self {
        let raw = SharedBody::new(body);
        // A stream may be as long as its client likes.
        let bytes = raw.clone().map_err(std::io::Error::other);
        let memory = Memory::for_stream(budget.clone());
        let decoded = encoding.decode(bytes, usize::MAX, memory, there);
        Self {
            decoded,
            raw,
            buffer: BytesMut::new(),
            searched: 0,
            limit,
            skipping: None,
            budget,
            share: None,
            number: 0,
            ended: false,
        }
    }

    /// Waits for a line, and returns the lines that have come, up to `most`; none at the end. Blank
    /// lines have numbers and are left out. Cancel safe.
    ///
    /// # Errors
    /// Where the body breaks off or can't be decoded. The whole lines before that place have been
    /// returned.
    pub(crate) async fn next(&mut self, most: usize) -> std::io::Result<Vec<Line>> {
        loop {
            let lines = self.take(most);
            if !lines.is_empty() || self.ended {
                return Ok(lines);
            }
            match self.decoded.next().await {
                Some(Ok(data)) => self.buffer.extend_from_slice(&data),
                Some(Err(error)) => return Err(error),
                None => {
                    self.ended = true;
                    // The last line of a body may lack its line break.
                    self.buffer.extend_from_slice(b"\n");
                }
            }
        }
    }

    /// Reads the rest of the body and forgets it, within the time and size of a refused request's
    /// body, also where the body can't be decoded. Cancel safe.
    pub(crate) async fn discard(&mut self, pace: &Pace) {
        let body = &mut self.raw;
        let discarding = async {
            let mut seen = 0;
            while let Some(Ok(data)) = body.next().await {
                seen += data.len();
                if seen > DISCARD_BYTES {
                    break;
                }
                if body.is_at_end() {
                    break;
                }
                pace.wait(data.len()).await;
            }
        };
        let _ = tokio::time::timeout(DISCARD_TIME, discarding).await;
    }

    /// Why the line whose beginning is in the buffer can't be kept; `None` where it can.
    fn why_skip(&mut self) -> Option<Skip> {
        if self.searched > self.limit {
            return Some(Skip::TooLong);
        }
        if self.searched <= FREE_BYTES {
            return None;
        }
        let has_memory = match &mut self.share {
            Some(share) => share.try_grow_to(self.searched),
            None => {
                self.share = self.budget.try_share(self.searched);
                self.share.is_some()
            }
        };
        (!has_memory).then_some(Skip::NoMemory)
    }

    fn take(&mut self, most: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        while lines.len() < most {
            let fresh = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(at) = fresh.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                if self.skipping.is_none() {
                    self.skipping = self.why_skip();
                }
                if self.skipping.is_some() {
                    self.buffer = BytesMut::new();
                    (self.searched, self.share) = (0, None);
                }
                break;
            };
            let line = self.buffer.split_to(self.searched + at).freeze();
            self.buffer.advance(1);
            (self.searched, self.share) = (0, None);
            self.number += 1;
            let too_long = (line.len() > self.limit).then_some(Skip::TooLong);
            if let Some(skip) = self.skipping.take().or(too_long) {
                lines.push(match skip {
                    Skip::TooLong => Line::TooLong(self.number),
                    Skip::NoMemory => Line::NoMemory(self.number),
                });
            } else if !line.iter().all(u8::is_ascii_whitespace) {
                lines.push(Line::Text(self.number, line));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    async fn lines(chunks: &[&str], limit: usize) -> Vec<Line> {
        lines_within(chunks, limit, &Budget::new(1 << 20)).await
    }

    async fn lines_within(chunks: &[&str], limit: usize, budget: &Budget) -> Vec<Line> {
        let chunks: Vec<_> =
            chunks.iter().map(|chunk| Ok::<_, axum::Error>((*chunk).to_owned())).collect();
        let body = Body::from_stream(futures_util::stream::iter(chunks));
        let there = Handle::current();
        let mut lines = Lines::new(Encoding::Identity, body, limit, budget.clone(), &there);
        let mut all = Vec::new();
        loop {
            let some = lines.next(2).await.unwrap();
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }

    fn text(number: u64, text: &'static str) -> Line {
        Line::Text(number, Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn lines_are_whole_wherever_the_chunks_were_cut() {
        let expected = [text(1, "one"), text(3, "three\r"), text(4, "four")];
        assert_eq!(lines(&["one\n\nthree\r\nfour"], 100).await, expected);
        assert_eq!(lines(&["on", "e", "\n", "\nthree\r\n", "fo", "ur\n"], 100).await, expected);
        assert_eq!(lines(&[], 100).await, []);
    }

    #[tokio::test]
    async fn a_long_line_takes_a_share_of_the_budget_and_returns_it() {
        let (budget, half) = (Budget::new(256 << 10), "a".repeat(100 << 10));
        let _other = budget.try_share(50 << 10).unwrap();
        let chunks = [half.as_str(), &half, "\n", &half, &half, &half, "\n1\n", &half, &half, "\n"];
        let kept =
            lines_within(&chunks, 1 << 20, &budget).await.into_iter().map(|line| match line {
                Line::Text(number, text) => (number, Some(text.len())),
                Line::TooLong(_) => panic!("no line is longer than allowed"),
                Line::NoMemory(number) => (number, None),
            });
        assert_eq!(
            kept.collect::<Vec<_>>(),
            [(1, Some(200 << 10)), (2, None), (3, Some(1)), (4, Some(200 << 10))]
        );
        assert!(
            budget.try_share(206 << 10).is_some(),
            "everything but the other share is free again"
        );
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_skipped() {
        assert_eq!(
            lines(&["12345\n", "1234567", "8901", "2\n123456\n12"], 5).await,
            [text(1, "12345"), Line::TooLong(2), Line::TooLong(3), text(4, "12")]
        );
    }

    #[tokio::test]
    async fn a_rest_that_has_come_whole_needs_no_turn_to_be_discarded() {
        let pace = Pace::default();
        while pace.wait(DISCARD_BYTES).now_or_never().is_some() {}
        let (there, budget) = (Handle::current(), Budget::new(1 << 20));
        let body = Body::from("a line\n");
        let mut lines = Lines::new(Encoding::Gzip, body, 100, budget, &there);
        assert_eq!(lines.discard(&pace).now_or_never(), Some(()));
    }
}
