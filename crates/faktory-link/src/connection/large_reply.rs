//! The reading of large replies within the memory that connections share.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use faktory_wire::{Reply, ReplyDecoder};

use crate::config::LinkConfig;
use crate::reply_budget::{Grant, ReplyBudget};

/// Up to this size a reply counts as small: each connection may always read one. Most jobs are
/// smaller, and fifty connections have 3 MiB of such replies.
const SMALL: usize = 64 << 10;

/// The large reply that a connection reads, where it reads one.
pub(super) struct LargeReply {
    budget: Arc<ReplyBudget>,
    grant: Option<Grant>,
}

/// The bytes of a large reply, with the grant for them.
struct Granted {
    bytes: Bytes,
    _grant: Grant,
}

impl AsRef<[u8]> for Granted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl LargeReply {
    pub(super) fn new(config: &LinkConfig) -> Self {
        let alone = || Arc::new(ReplyBudget::new(config.reply_limit));
        Self { budget: config.reply_budget.clone().unwrap_or_else(alone), grant: None }
    }

    /// Waits for the memory for the reply that is being read, where the reply is large and has none
    /// yet; what the server has sent stays in the socket meanwhile. Returns true where this was to
    /// be waited for. Cancel safe.
    pub(super) async fn admit(&mut self, decoder: &ReplyDecoder, buffer: &mut BytesMut) -> bool {
        let Some(length) = decoder.body().filter(|length| *length > SMALL) else { return false };
        if self.grant.is_some() {
            return false;
        }
        self.grant = Some(self.budget.grant(length).await);
        // All at once: a buffer that grows by doubling would have twice the size.
        buffer.reserve((length + 2).saturating_sub(buffer.len()));
        true
    }

    /// Bytes that may be read and not decoded: those of a small reply, or of the large reply that
    /// has its memory. Whatever room the buffer has from earlier replies, a large reply is not read
    /// to its end without its memory.
    pub(super) fn size_max(decoder: &ReplyDecoder) -> usize {
        // With the ending.
        decoder.body().unwrap_or_default().max(SMALL) + 2
    }

    /// The reply, which keeps its grant where it is large; the buffer then begins anew, so that the
    /// connection does not hold the memory of the reply.
    pub(super) fn finish(&mut self, reply: Reply, buffer: &mut BytesMut) -> Reply {
        let Some(grant) = self.grant.take() else { return reply };
        *buffer = BytesMut::from(buffer.as_ref());
        match reply {
            Reply::Bulk(bytes) => Reply::Bulk(Bytes::from_owner(Granted { bytes, _grant: grant })),
            reply @ (Reply::Simple(_) | Reply::Error(_) | Reply::Nothing) => reply,
        }
    }
}
