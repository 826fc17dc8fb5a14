//! A body of gzip members or zstd frames, decoded one after the other. Both formats allow that one
//! file consists of many, and programs make such files. One decoder reads all of them: to make one
//! takes far more time than to read a short member.

use std::io;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::Bytes;
use bytes::BytesMut;
use futures_util::{Stream, stream};
use tokio::io::{AsyncBufRead, AsyncReadExt};

use super::Encoding;
use super::balance::Balance;

/// The largest window of a zstd frame, as a power of two: 8 MiB, the bound of RFC 9659 for HTTP. A
/// decoder needs that much memory.
pub(super) const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// The most bytes that a decoder gives in one go.
const CHUNK_BYTES: usize = 32 << 10;

/// The decoder of all parts.
enum Reader<R> {
    Gzip(GzipDecoder<R>),
    Zstd(ZstdDecoder<R>),
    Identity(R),
}

struct Parts<R> {
    reader: Reader<R>,
    balance: Balance,
    /// Whether other tasks are to have their turn before more is decoded.
    rests: bool,
}

/// The decoded bytes of all parts. After an error nothing follows.
pub(super) fn decode<R>(
    encoding: Encoding,
    encoded: R,
    balance: Balance,
) -> impl Stream<Item = io::Result<Bytes>> + Send
where
    R: AsyncBufRead + Send + Unpin,
{
    let parts = Parts { reader: Reader::of(encoding, encoded), balance, rests: false };
    stream::unfold(Some(parts), |parts| async {
        let mut parts = parts?;
        match parts.next().await {
            Ok(None) => None,
            Ok(Some(bytes)) => Some((Ok(bytes), Some(parts))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl<R: AsyncBufRead + Unpin> Reader<R> {
    fn of(encoding: Encoding, encoded: R) -> Self {
        match encoding {
            Encoding::Gzip => {
                let mut decoder = GzipDecoder::new(encoded);
                decoder.multiple_members(true);
                Self::Gzip(decoder)
            }
            Encoding::Zstd => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX)];
                let mut decoder = ZstdDecoder::with_params(encoded, &window);
                decoder.multiple_members(true);
                Self::Zstd(decoder)
            }
            Encoding::Identity => Self::Identity(encoded),
        }
    }
}

impl<R: AsyncBufRead + Unpin> Parts<R> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if std::mem::take(&mut self.rests) {
            tokio::task::yield_now().await;
        }
        let mut bytes = BytesMut::with_capacity(CHUNK_BYTES);
        let read = match &mut self.reader {
            Reader::Gzip(decoder) => decoder.read_buf(&mut bytes).await?,
            Reader::Zstd(decoder) => decoder.read_buf(&mut bytes).await?,
            Reader::Identity(encoded) => encoded.read_buf(&mut bytes).await?,
        };
        self.balance.gives(read);
        self.rests = true;
        Ok((read > 0).then(|| bytes.freeze()))
    }
}
