//! The memory of pieces that are on their way through a decoder: what has come and is not decoded,
//! and what was decoded and is not taken; and the memory of a decoder's window.

use std::io;

use axum::body::Bytes;

use super::failure::Failure;
use crate::budget::{Budget, Share};

/// A piece and its share of the memory for bodies, which is free again when the piece is used up.
pub(super) type Weighed = io::Result<(Bytes, Share)>;

/// So many times a stream waits for a share, a tenth of a second each.
const LOOKS_OF_STREAM: usize = 10;

/// Where the shares come from. Clones share one budget.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    budget: Budget,
    waits: bool,
}

/// The memory of a decoder's window: a share of all memory, and of the part of it that all windows
/// may have.
#[derive(Debug, Default)]
pub(super) struct Window {
    of_windows: Option<Share>,
    of_all: Option<Share>,
}

impl Memory {
    /// For the body of a request, which is refused where others hold too much.
    pub(crate) const fn for_body(budget: Budget) -> Self {
        Self { budget, waits: false }
    }

    /// For a stream, which goes on when others have given some back, or after a second all the
    /// same: a few pieces of it are without a share then.
    pub(crate) const fn for_stream(budget: Budget) -> Self {
        Self { budget, waits: true }
    }

    const fn looks(&self) -> usize {
        if self.waits { LOOKS_OF_STREAM } else { 1 }
    }

    /// Enlarges a window to so many bytes. A stream is refused too, after a second: it may keep its
    /// window for as long as it likes.
    ///
    /// # Errors
    /// Where others hold too much.
    pub(super) async fn enlarge(&self, window: &mut Window, bytes: usize) -> Result<(), Failure> {
        let windows = self.budget.of_windows();
        for _ in 0..self.looks() {
            if windows.enlarge(&mut window.of_windows, bytes).await
                && self.budget.enlarge(&mut window.of_all, bytes).await
            {
                return Ok(());
            }
        }
        Err(Failure::NoMemory)
    }

    /// Gives a piece its share. Not cancel safe: dropped, the piece is lost.
    pub(super) async fn weigh(&self, piece: Bytes) -> Weighed {
        for _ in 0..self.looks() {
            if let Some(share) = self.budget.share(piece.len()).await {
                return Ok((piece, share));
            }
        }
        if self.waits
            && let Some(nothing) = self.budget.nothing()
        {
            // Half-read lines may hold everything, and grow no more while their next pieces wait
            // here. With the piece, a line that finds no memory is given up, and its memory free.
            return Ok((piece, nothing));
        }
        Err(Failure::NoMemory.into())
    }
}
