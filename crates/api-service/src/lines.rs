//! A body's lines as they come, each within its size.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;

use crate::encoding::Decoded;

/// One line, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Its text, without the line break.
    Text(u64, Bytes),
    /// It has more bytes than allowed; what was too much is not kept.
    TooLong(u64),
}

/// The lines of a body.
pub(crate) struct Lines {
    body: Decoded,
    buffer: BytesMut,
    /// Bytes of the buffer in which no line break is.
    searched: usize,
    limit: usize,
    /// The current line is too long, and read over.
    skipping: bool,
    number: u64,
    ended: bool,
}

impl Lines {
    pub(crate) fn new(body: Decoded, limit: usize) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0, limit, skipping: false, number: 0, ended: false }
    }

    /// Waits for lines, and takes those that are there, up to `most`; empty at the end. Blank lines count and are left out. Cancel safe.
    ///
    /// # Errors
    /// Where the body breaks off or can't be decoded. What came before has been handed out, but for a last line without its end.
    pub(crate) async fn next(&mut self, most: usize) -> std::io::Result<Vec<Line>> {
        loop {
            let lines = self.take(most);
            if !lines.is_empty() || self.ended {
                return Ok(lines);
            }
            match self.body.next().await {
                Some(Ok(data)) => self.buffer.extend_from_slice(&data),
                Some(Err(error)) => return Err(error),
                None => {
                    self.ended = true;
                    // A last line needs no line break.
                    self.buffer.extend_from_slice(b"\n");
                }
            }
        }
    }

    fn take(&mut self, most: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        while lines.len() < most {
            let fresh = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(at) = fresh.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                if self.searched > self.limit {
                    self.skipping = true;
                    self.buffer.clear();
                    self.searched = 0;
                }
                break;
            };
            let line = self.buffer.split_to(self.searched + at).freeze();
            self.buffer.advance(1);
            self.searched = 0;
            self.number += 1;
            if std::mem::take(&mut self.skipping) || line.len() > self.limit {
                lines.push(Line::TooLong(self.number));
            } else if !line.iter().all(u8::is_ascii_whitespace) {
                lines.push(Line::Text(self.number, line));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(chunks: &[&str], limit: usize) -> Vec<Line> {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::from((*chunk).to_owned()))).collect();
        let mut lines = Lines::new(Box::pin(futures_util::stream::iter(chunks)), limit);
        let mut all = Vec::new();
        loop {
            let some = lines.next(2).await.unwrap();
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }

    fn text(number: u64, text: &'static str) -> Line {
        Line::Text(number, Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn lines_come_whole_however_they_were_cut() {
        let expected = [text(1, "one"), text(3, "three\r"), text(4, "four")];
        assert_eq!(lines(&["one\n\nthree\r\nfour"], 100).await, expected);
        assert_eq!(lines(&["on", "e", "\n", "\nthree\r\n", "fo", "ur\n"], 100).await, expected);
        assert_eq!(lines(&[], 100).await, []);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_read_over() {
        assert_eq!(
            lines(&["12345\n", "1234567", "8901", "2\n123456\n12"], 5).await,
            [text(1, "12345"), Line::TooLong(2), Line::TooLong(3), text(4, "12")]
        );
    }
}
