//! Decoding of compressed bodies. The reader counts the decoded bytes, so that a small body can't
//! become a large one unnoticed; here is counted what costs time and gives no bytes.

mod apart;
mod balance;
mod failure;
mod fault;
mod frames;
mod memory;
mod parts;
mod slices;
#[cfg(test)]
mod tests;
mod windows;

use std::io;
use std::pin::Pin;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use futures_util::Stream;
use tokio::runtime::Handle;
use tokio_util::io::StreamReader;

use crate::problem::{Code, Problem};
use apart::Apart;
use balance::Balance;
use slices::slices;
use windows::Windows;

pub(crate) use failure::Failure;
pub(crate) use fault::Fault;
pub(crate) use memory::Memory;

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

    /// Decodes a body of at most `at_most` encoded bytes there, and lets other tasks have their
    /// turn in between. What is on its way has its share of the memory. An error is a broken
    /// encoding, an error of the body itself, a [`Fault`] or a [`Failure`].
    pub(crate) fn decode(
        self,
        bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        at_most: usize,
        memory: Memory,
        there: &Handle,
    ) -> Decoded {
        if self == Self::Identity {
            return Box::pin(bytes);
        }
        let windows = Windows::of(self, memory.clone());
        Box::pin(Apart::new(bytes, memory, there, |bytes| {
            let balance = Balance::default();
            let slices = slices(bytes, at_most, balance.clone(), windows);
            parts::decode(self, StreamReader::new(Box::pin(slices)), balance)
        }))
    }
}

/// Whether decoding failed because the body itself failed, such as by a broken connection.
pub(crate) fn is_failure_of_body(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<axum::Error>())
}
