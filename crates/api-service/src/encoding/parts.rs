//! A body of gzip members or zstd frames, decoded one after the other. Both formats allow that one
//! file consists of many, and programs make such files.

use std::io;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::Bytes;
use bytes::BytesMut;
use futures_util::{Stream, stream};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

use super::Encoding;
use super::fault::{BYTES_A_PART, FREE_PARTS, Fault};
use super::slices::Barren;

/// The largest window of a zstd frame, as a power of two: 8 MiB, the bound of RFC 9659 for HTTP. A
/// decoder needs that much memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// The most bytes that a decoder gives in one go.
const CHUNK_BYTES: usize = 32 << 10;

/// The decoder of one part, or what comes after a part.
enum Reader<R> {
    Gzip(GzipDecoder<R>),
    Zstd(ZstdDecoder<R>),
    Ended(R),
}

struct Parts<R> {
    encoding: Encoding,
    /// `None` only while it changes.
    reader: Option<Reader<R>>,
    /// The parts that have ended.
    ended: usize,
    decoded: usize,
    barren: Barren,
    /// Whether other tasks are to have their turn before more is decoded.
    rests: bool,
}

/// The decoded bytes of all parts. After an error nothing follows.
pub(super) fn decode<R>(
    encoding: Encoding,
    encoded: R,
    barren: Barren,
) -> impl Stream<Item = io::Result<Bytes>> + Send
where
    R: AsyncBufRead + Send + Unpin,
{
    let reader = Some(Reader::of(encoding, encoded));
    let parts = Parts { encoding, reader, ended: 0, decoded: 0, barren, rests: false };
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
            Encoding::Gzip => Self::Gzip(GzipDecoder::new(encoded)),
            Encoding::Zstd => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX)];
                Self::Zstd(ZstdDecoder::with_params(encoded, &window))
            }
            Encoding::Identity => Self::Ended(encoded),
        }
    }
}

impl<R: AsyncBufRead + Unpin> Parts<R> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if std::mem::take(&mut self.rests) {
            tokio::task::yield_now().await;
        }
        let mut bytes = BytesMut::with_capacity(CHUNK_BYTES);
        loop {
            let read = match &mut self.reader {
                Some(Reader::Gzip(decoder)) => decoder.read_buf(&mut bytes).await?,
                Some(Reader::Zstd(decoder)) => decoder.read_buf(&mut bytes).await?,
                Some(Reader::Ended(encoded)) => {
                    if encoded.fill_buf().await?.is_empty() {
                        return Ok(None);
                    }
                    self.begin();
                    continue;
                }
                None => return Ok(None),
            };
            if read > 0 {
                self.decoded += read;
                self.barren.ends();
                self.rests = true;
                return Ok(Some(bytes.freeze()));
            }
            self.end()?;
        }
    }

    /// Begins the next part.
    fn begin(&mut self) {
        if let Some(Reader::Ended(encoded)) = self.reader.take() {
            self.reader = Some(Reader::of(self.encoding, encoded));
        }
    }

    /// Notes that a part has ended.
    fn end(&mut self) -> io::Result<()> {
        self.reader = self.reader.take().map(|reader| match reader {
            Reader::Gzip(decoder) => Reader::Ended(decoder.into_inner()),
            Reader::Zstd(decoder) => Reader::Ended(decoder.into_inner()),
            Reader::Ended(encoded) => Reader::Ended(encoded),
        });
        self.ended += 1;
        if self.ended > FREE_PARTS + self.decoded / BYTES_A_PART {
            return Err(Fault::TooManyParts.into());
        }
        Ok(())
    }
}
