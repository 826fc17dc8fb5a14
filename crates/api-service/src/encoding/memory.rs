//! The memory of pieces that are on their way through a decoder: what has come and is not decoded,
//! and what was decoded and is not taken.

use std::io;

use axum::body::Bytes;

use super::failure::Failure;
use crate::budget::{Budget, Share};

/// A piece and its share of the memory for bodies, which is free again when the piece is used up.
pub(super) type Weighed = io::Result<(Bytes, Share)>;

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

    /// For a stream, which goes on when others have given some back.
    pub(crate) const fn for_stream(budget: Budget) -> Self {
        Self { budget, waits: true }
    }

    /// Gives a piece its share. Not cancel safe: dropped, the piece is lost.
    pub(super) async fn weigh(&self, piece: Bytes) -> Weighed {
        loop {
            match self.budget.share(piece.len()).await {
                Some(share) => return Ok((piece, share)),
                None if self.waits => {}
                None => return Err(Failure::NoMemory.into()),
            }
        }
    }
}
