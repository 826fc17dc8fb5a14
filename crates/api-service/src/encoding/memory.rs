//! The memory of pieces that are on their way through a decoder: what has come and is not decoded,
//! and what was decoded and is not taken.

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

    /// Gives a piece its share. Not cancel safe: dropped, the piece is lost.
    pub(super) async fn weigh(&self, piece: Bytes) -> Weighed {
        for _ in 0..if self.waits { LOOKS_OF_STREAM } else { 1 } {
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
