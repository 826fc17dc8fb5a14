//! Replies of a work server: the part of RESP2 that Faktory uses (`+text`, `-text`, `$length`,
//! `$-1`).

use bytes::{Buf, Bytes, BytesMut};

/// A reply of a work server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `+text`
    Simple(Bytes),
    /// `-text`, without the dash. Texts of Faktory itself begin with `ERR `.
    Error(String),
    /// `$length` and that number of bytes.
    Bulk(Bytes),
    /// `$-1`: no value.
    Nothing,
}

impl Reply {
    /// `+OK`
    pub const OK: Self = Self::Simple(Bytes::from_static(b"OK"));

    /// An error in the form of Faktory: `-ERR text`.
    #[must_use]
    pub fn error(text: impl std::fmt::Display) -> Self {
        Self::Error(format!("ERR {text}"))
    }

    /// Appends the reply as bytes of the wire. A line break inside a simple reply or an error
    /// becomes a space, because the client would take a line break for the end of the reply.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Simple(text) => {
                out.push(b'+');
                on_one_line(text, out);
            }
            Self::Error(text) => {
                out.push(b'-');
                on_one_line(text.as_bytes(), out);
            }
            Self::Bulk(body) => {
                out.push(b'$');
                out.extend_from_slice(body.len().to_string().as_bytes());
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(body);
            }
            Self::Nothing => out.extend_from_slice(b"$-1"),
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn on_one_line(text: &[u8], out: &mut Vec<u8>) {
    out.extend(text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
}

/// The reason why bytes of a work server break the protocol. The connection can't be used any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The reply starts with none of `+`, `-`, `$`.
    #[error("reply starts with byte 0x{0:02x}, which is no reply of a work server")]
    UnknownKind(u8),
    /// The length of a bulk reply is no number.
    #[error("bulk reply announces a length that is no number: {0:?}")]
    BadLength(String),
    /// The reply is larger than allowed.
    #[error("reply of {length} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// The bytes that were announced, or received so far.
        length: usize,
        /// The bytes that are allowed.
        limit: usize,
    },
    /// A bulk reply does not end after its announced length.
    #[error("bulk reply does not end with CR LF after its announced length")]
    BadEnd,
}

/// The longest line of a reply: a status, an error, or the length of a bulk reply. An error text of
/// a work server has a few hundred bytes.
const LINE_MAX: usize = 64 << 10;

/// A decoder that cuts a stream of bytes into replies.
#[derive(Debug)]
pub struct ReplyDecoder {
    limit: usize,
    scanned: usize,
    /// The length of the bulk reply whose first line has been read.
    body: Option<usize>,
}

impl ReplyDecoder {
    /// A decoder that allows replies of up to `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, scanned: 0, body: None }
    }

    /// The length of the bulk reply of which the first line has been taken and the rest is still to
    /// come.
    #[must_use]
    pub const fn body(&self) -> Option<usize> {
        self.body
    }

    /// Takes the next whole reply from the front of `buffer`; `None` while the reply is incomplete.
    ///
    /// # Errors
    /// Where the bytes break the protocol or the limit. The decoder can't be used any more.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Reply>, ProtocolError> {
        if let Some(length) = self.body {
            return self.bulk(buffer, length);
        }
        match buffer.first() {
            None => return Ok(None),
            Some(b'+' | b'-' | b'$') => {}
            Some(other) => return Err(ProtocolError::UnknownKind(*other)),
        }
        let unseen = buffer.get(self.scanned..).unwrap_or_default();
        let Some(found) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.scanned = buffer.len();
            check(self.scanned, self.limit.min(LINE_MAX))?;
            return Ok(None);
        };
        let end = self.scanned + found;
        check(end, self.limit.min(LINE_MAX))?;
        self.scanned = 0;
        let mut line = buffer.split_to(end + 1).freeze();
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        let kind = line.first().copied();
        line.advance(1);
        match kind {
            Some(b'+') => Ok(Some(Reply::Simple(line))),
            Some(b'-') => Ok(Some(Reply::Error(String::from_utf8_lossy(&line).into_owned()))),
            _ if line.as_ref() == b"-1" => Ok(Some(Reply::Nothing)),
            _ => {
                let length = std::str::from_utf8(&line).ok().and_then(|digits| digits.parse().ok());
                let length = length.ok_or_else(|| {
                    ProtocolError::BadLength(
                        String::from_utf8_lossy(&line).chars().take(40).collect(),
                    )
                })?;
                check(length, self.limit)?;
                self.body = Some(length);
                self.bulk(buffer, length)
            }
        }
    }

    fn bulk(
        &mut self,
        buffer: &mut BytesMut,
        length: usize,
    ) -> Result<Option<Reply>, ProtocolError> {
        if buffer.len() < length + 2 {
            return Ok(None);
        }
        let body = buffer.split_to(length).freeze();
        if buffer.get(..2) != Some(b"\r\n".as_slice()) {
            return Err(ProtocolError::BadEnd);
        }
        buffer.advance(2);
        self.body = None;
        Ok(Some(Reply::Bulk(body)))
    }
}

const fn check(length: usize, limit: usize) -> Result<(), ProtocolError> {
    if length > limit { Err(ProtocolError::TooLarge { length, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(limit: usize, chunks: &[&[u8]]) -> Result<Vec<Reply>, ProtocolError> {
        let mut decoder = ReplyDecoder::new(limit);
        let mut buffer = BytesMut::new();
        let mut replies = Vec::new();
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            while let Some(reply) = decoder.decode(&mut buffer)? {
                replies.push(reply);
            }
        }
        Ok(replies)
    }

    fn samples() -> Vec<Reply> {
        vec![
            Reply::OK,
            Reply::Bulk(Bytes::from_static(b"{\"a\":\r\n1}")),
            Reply::Nothing,
            Reply::error("unknown command X"),
            Reply::Bulk(Bytes::new()),
        ]
    }

    #[test]
    fn replies_survive_any_fragmentation() {
        let mut wire = Vec::new();
        samples().iter().for_each(|reply| reply.encode(&mut wire));
        for first in 0..wire.len() {
            for second in first..wire.len() {
                let chunks = [&wire[..first], &wire[first..second], &wire[second..]];
                assert_eq!(all(100, &chunks).unwrap(), samples());
            }
        }
    }

    #[test]
    fn bytes_that_break_the_protocol_give_the_matching_error() {
        assert_eq!(all(9, &[b":5\r\n"]), Err(ProtocolError::UnknownKind(b':')));
        assert_eq!(all(9, &[b"$x\r\n"]), Err(ProtocolError::BadLength("x".into())));
        assert_eq!(all(9, &[b"$-2\r\n"]), Err(ProtocolError::BadLength("-2".into())));
        assert_eq!(
            all(99, &[b"$99999999999999999999\r\n"]),
            Err(ProtocolError::BadLength("99999999999999999999".into()))
        );
        assert_eq!(all(9, &[b"$10\r\n"]), Err(ProtocolError::TooLarge { length: 10, limit: 9 }));
        assert_eq!(
            all(9, &[b"+aaaaaaaaaaaaaaa"]),
            Err(ProtocolError::TooLarge { length: 16, limit: 9 })
        );
        let endless = vec![b'+'; LINE_MAX + 1];
        let too_large = ProtocolError::TooLarge { length: LINE_MAX + 1, limit: LINE_MAX };
        assert_eq!(all(usize::MAX, &[&endless]), Err(too_large));
        assert_eq!(all(9, &[b"$1\r\nabc"]), Err(ProtocolError::BadEnd));
    }

    #[test]
    fn a_line_break_inside_an_error_becomes_spaces() {
        let mut wire = Vec::new();
        Reply::error("a\r\nb").encode(&mut wire);
        assert_eq!(wire, b"-ERR a  b\r\n");
    }
}
