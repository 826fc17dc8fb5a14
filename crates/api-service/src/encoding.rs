//! Decoding of compressed bodies. The reader counts the decoded bytes, so that a small body can't
//! become a large one unnoticed.

use std::io;
use std::pin::Pin;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::{Stream, TryStreamExt};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::problem::{Code, Problem};

/// The largest window of a zstd frame, as a power of two: 8 MiB, the bound of RFC 9659 for HTTP. A
/// decoder needs that much memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// The bytes read from a decoder at a time.
const CHUNK_BYTES: usize = 32 << 10;

/// The encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// The decoded bytes of a body.
pub(crate) type Decoded = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

impl Encoding {
    /// The encoding that the header `Content-Encoding` announces.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut announced = headers.get_all(header::CONTENT_ENCODING).iter();
        let (first, second) = (announced.next(), announced.next());
        let Some(name) = first else { return Ok(Self::Identity) };
        let name = name.to_str().unwrap_or_default().trim().to_ascii_lowercase();
        match (name.as_str(), second) {
            ("identity", None) => Ok(Self::Identity),
            ("gzip" | "x-gzip", None) => Ok(Self::Gzip),
            ("zstd", None) => Ok(Self::Zstd),
            _ => {
                let detail = "this content-encoding is not accepted; send the body plain, or \
                              encoded once as gzip or zstd";
                Err(Problem::new(Code::UnsupportedMediaType, detail))
            }
        }
    }

    /// Decodes a body. An error is a broken encoding or a broken connection.
    pub(crate) fn decode(self, body: Body) -> Decoded {
        let bytes = body.into_data_stream().map_err(io::Error::other);
        match self {
            Self::Identity => Box::pin(bytes),
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(StreamReader::new(bytes));
                decoder.multiple_members(true);
                Box::pin(ReaderStream::with_capacity(decoder, CHUNK_BYTES))
            }
            Self::Zstd => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX)];
                let mut decoder = ZstdDecoder::with_params(StreamReader::new(bytes), &window);
                decoder.multiple_members(true);
                Box::pin(ReaderStream::with_capacity(decoder, CHUNK_BYTES))
            }
        }
    }
}

/// Whether decoding failed because the body itself failed, such as by a broken connection.
pub(crate) fn is_failure_of_body(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<axum::Error>())
}
