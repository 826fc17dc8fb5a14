//! The last thing that happens to a line of the log: whatever text got into it, it stays one line
//! of characters that can be seen. Callers escape and cut texts of others with
//! `faktory_wire::Excerpt` already; this holds where one has forgotten it.

use std::fmt::Write as _;
use std::io::{self, Write};

use faktory_wire::is_plain;
use tracing_subscriber::fmt::MakeWriter;

use super::LogFormat;

/// Standard error, with each line made plain.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlainLines {
    pub(super) format: LogFormat,
    /// Whether the formatter colours its lines. It escapes ESC in all values, so that colours in a
    /// line are its own.
    pub(super) colours: bool,
}

impl<'a> MakeWriter<'a> for PlainLines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

impl Write for PlainLines {
    /// Takes a whole line: the formatter writes each event by one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if is_plain_line(&text) {
            io::stderr().lock().write_all(line)?;
        } else {
            io::stderr().lock().write_all(self.plain(&text).as_bytes())?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

fn is_plain_line(line: &str) -> bool {
    line.strip_suffix('\n').unwrap_or(line).chars().all(is_plain)
}

impl PlainLines {
    fn plain(self, line: &str) -> String {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let mut out = String::with_capacity(line.len() + 64);
        let mut rest = line;
        while let Some(character) = rest.chars().next() {
            let colour = if self.colours { colour(rest) } else { None };
            let length = match colour {
                Some(length) => {
                    out.push_str(rest.get(..length).unwrap_or_default());
                    length
                }
                None => {
                    self.push(&mut out, character);
                    character.len_utf8()
                }
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        out + end
    }

    fn push(self, out: &mut String, character: char) {
        // A write into memory can't fail.
        match (is_plain(character), self.format) {
            (true, _) => out.push(character),
            (false, LogFormat::Text) => drop(write!(out, "{}", character.escape_default())),
            // In JSON such a character can only stand inside of a string.
            (false, LogFormat::Json) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
}

/// The length of the colour (SGR of ECMA-48: `ESC [ digits and semicolons m`) that a text begins
/// with.
fn colour(text: &str) -> Option<usize> {
    let inside = text.strip_prefix("\u{1b}[")?;
    let end = inside.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    inside.get(end..)?.starts_with('m').then_some(end + 3)
}

/// A text with each character escaped that is not plain; line breaks stay where `lines` is true.
#[must_use]
pub fn plain_text(text: &str, lines: bool) -> String {
    let writer = PlainLines { format: LogFormat::Text, colours: false };
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if lines && character == '\n' {
            out.push('\n');
        } else {
            writer.push(&mut out, character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\nb\r\u{1b}[2J\u{1b}[31mc\u{7f}\u{9b}\u{202e}\u{2028}\u{e0041}\n";

    fn plain(format: LogFormat, colours: bool, line: &str) -> String {
        PlainLines { format, colours }.plain(line)
    }

    #[test]
    fn a_line_of_text_keeps_its_end_and_shows_every_other_control() {
        assert_eq!(
            plain(LogFormat::Text, false, HOSTILE),
            "a\\nb\\r\\u{1b}[2J\\u{1b}[31mc\\u{7f}\\u{9b}\\u{202e}\\u{2028}\\u{e0041}\n"
        );
        assert!(is_plain_line("déjà vu\n") && !is_plain_line("a\nb\n"));
    }

    #[test]
    fn colours_pass_where_the_formatter_makes_them_and_nothing_else_of_a_terminal_does() {
        let line = plain(LogFormat::Text, true, "\u{1b}[32mINFO\u{1b}[0m \u{1b}[2J\u{1b}]0;x\n");
        assert_eq!(line, "\u{1b}[32mINFO\u{1b}[0m \\u{1b}[2J\\u{1b}]0;x\n");
    }

    #[test]
    fn json_stays_json_with_the_same_value() {
        let text = "x\u{7f}\u{9b}\u{202e}\u{2028}\u{e0041}é";
        let line = serde_json::to_string(text).unwrap();
        let plain = plain(LogFormat::Json, false, &format!("{line}\n"));
        assert!(is_plain_line(&plain), "{plain:?}");
        assert_eq!(serde_json::from_str::<String>(&plain).unwrap(), text);
    }
}
