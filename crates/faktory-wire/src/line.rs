//! Lines in a stream of bytes. LF ends a line, a CR before the LF belongs to the line ending, and
//! any other byte is data.

use bytes::{Bytes, BytesMut};

/// A line is longer than allowed. The connection can't go on, because the beginning of the next
/// line is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line longer than {limit} bytes")]
pub struct LineTooLong {
    /// The bytes that are allowed in one line.
    pub limit: usize,
}

/// A decoder that cuts a stream of bytes into lines. No byte is searched twice.
#[derive(Debug)]
pub struct LineDecoder {
    limit: usize,
    scanned: usize,
}

impl LineDecoder {
    /// A decoder that allows lines of up to `limit` bytes. The line ending does not count.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, scanned: 0 }
    }

    /// Takes the next whole line, without its line ending, from the front of `buffer`; `None` while
    /// the line is incomplete.
    ///
    /// # Errors
    /// Where a line, or its incomplete beginning, is longer than the limit.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, LineTooLong> {
        let unseen = buffer.get(self.scanned..).unwrap_or_default();
        let Some(found) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.scanned = buffer.len();
            // One byte more is allowed: a CR may stand before the LF that is still missing.
            return if self.scanned > self.limit + 1 {
                Err(LineTooLong { limit: self.limit })
            } else {
                Ok(None)
            };
        };
        let end = self.scanned + found;
        self.scanned = 0;
        let mut line = buffer.split_to(end + 1).freeze();
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        if line.len() > self.limit {
            Err(LineTooLong { limit: self.limit })
        } else {
            Ok(Some(line))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(limit: usize, chunks: &[&[u8]]) -> Result<Vec<String>, LineTooLong> {
        let mut decoder = LineDecoder::new(limit);
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            while let Some(line) = decoder.decode(&mut buffer)? {
                found.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        Ok(found)
    }

    #[test]
    fn either_ending_ends_a_line_and_a_cr_inside_is_data() {
        assert_eq!(lines(99, &[b"A\r\nB\n\nC\rD\r\r\nE"]).unwrap(), ["A", "B", "", "C\rD\r"]);
    }

    #[test]
    fn lines_survive_any_fragmentation() {
        let text = b"ACK {\"jid\":\"x\"}\r\nEND\r\n";
        for cut in 0..text.len() {
            let (left, right) = text.split_at(cut);
            assert_eq!(
                lines(99, &[left, right]).unwrap(),
                ["ACK {\"jid\":\"x\"}", "END"],
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn the_limit_holds_with_and_without_an_ending() {
        assert_eq!(lines(3, &[b"abc\r\n"]).unwrap(), ["abc"]);
        assert_eq!(lines(3, &[b"abcd\n"]), Err(LineTooLong { limit: 3 }));
        assert_eq!(lines(3, &[b"ab", b"cde"]), Err(LineTooLong { limit: 3 }));
    }
}
