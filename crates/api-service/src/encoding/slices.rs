//! Encoded bytes, handed to a decoder in slices. Between two slices other tasks of the runtime have
//! their turn: a decoder goes on as long as it has input, and some input takes it very long.

use std::io;

use axum::body::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::balance::Balance;
use super::fault::Fault;
use super::windows::Windows;

/// The most encoded bytes that are decoded in one go: 200 gzip members of 20 bytes, of which each
/// takes a few microseconds.
const SLICE_BYTES: usize = 4 << 10;

struct Slices<S> {
    bytes: S,
    /// What has come and is not handed out yet.
    rest: Bytes,
    /// The bytes handed out since other tasks had their turn.
    since_rest: usize,
    /// The bytes that may still come.
    left: usize,
    balance: Balance,
    windows: Windows,
}

/// The same bytes in slices, at most `at_most` of them.
pub(super) fn slices<S>(
    bytes: S,
    at_most: usize,
    balance: Balance,
    windows: Windows,
) -> impl Stream<Item = io::Result<Bytes>> + Send
where
    S: Stream<Item = io::Result<Bytes>> + Send + Unpin,
{
    let rest = Bytes::new();
    let slices = Slices { bytes, rest, since_rest: 0, left: at_most, balance, windows };
    stream::unfold(Some(slices), |slices| async {
        let mut slices = slices?;
        match slices.next().await? {
            Ok(slice) => Some((Ok(slice), Some(slices))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Slices<S> {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        while self.rest.is_empty() {
            match self.bytes.next().await? {
                Ok(bytes) => self.rest = bytes,
                Err(error) => return Some(Err(error)),
            }
        }
        if self.since_rest == SLICE_BYTES {
            tokio::task::yield_now().await;
            self.since_rest = 0;
        }
        if self.left == 0 {
            return Some(Err(Fault::TooLarge.into()));
        }
        let length = self.rest.len().min(SLICE_BYTES - self.since_rest).min(self.left);
        self.since_rest += length;
        self.left -= length;
        if let Err(fault) = self.balance.takes(length) {
            return Some(Err(fault.into()));
        }
        let slice = self.rest.split_to(length);
        if let Err(failure) = self.windows.pass(&slice).await {
            return Some(Err(failure.into()));
        }
        Some(Ok(slice))
    }
}
