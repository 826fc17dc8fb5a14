//! The beginning of a text that somebody else wrote, made fit to stand in a log line or an error:
//! on one line, and short.

use std::fmt::{self, Write};

/// The characters of a text that an [`Excerpt`] shows. A longer one ends in a mark and its length.
pub const EXCERPT_CHARS_MAX: usize = 200;

/// A text of a client, worker or work server, as it may stand in a log line or an error. It shows
/// at most [`EXCERPT_CHARS_MAX`] characters, or as many as the format's precision says
/// (`{:.1000}`). Those of which [`is_plain`] is false are written as `\n`, `\u{1b}` or `\u{202e}`,
/// so that no text can forge a line, colour a terminal or turn the order of letters around. Whether
/// the text had the backslash itself is not told.
///
/// `Display` and `Debug` write the same.
#[derive(Clone, Copy)]
pub struct Excerpt<T>(pub T);

impl<T: fmt::Display> fmt::Display for Excerpt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = f.precision().unwrap_or(EXCERPT_CHARS_MAX);
        let mut writer = Writer { out: f, seen: 0, most };
        write!(writer, "{}", self.0)?;
        let seen = writer.seen;
        if seen > most {
            write!(f, "… ({seen} characters)")?;
        }
        Ok(())
    }
}

impl<T: fmt::Display> fmt::Debug for Excerpt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'a> Excerpt<Bytes<'a>> {
    /// The excerpt of a text that may have bytes which are not UTF-8; these are shown as `\xff`.
    #[must_use]
    pub const fn of_bytes(bytes: &'a [u8]) -> Self {
        Self(Bytes(bytes))
    }
}

/// Bytes that are shown as text.
#[derive(Clone, Copy)]
pub struct Bytes<'a>(&'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Writes the first characters, and counts all.
struct Writer<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    seen: usize,
    most: usize,
}

impl Write for Writer<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut chars = text.chars();
        let room = self.most.saturating_sub(self.seen);
        for character in chars.by_ref().take(room) {
            self.seen += 1;
            if is_plain(character) {
                self.out.write_char(character)?;
            } else {
                write!(self.out, "{}", character.escape_default())?;
            }
        }
        self.seen += chars.count();
        Ok(())
    }
}

/// True for a character that only shows itself. False for those that move the cursor, end a line,
/// change the order of what stands around them, or can't be seen: controls (C0, DEL, C1), the
/// separators of lines and paragraphs, and what Unicode calls format characters (general category
/// Cf of Unicode 16.0: directions, joiners, marks of byte order, tags) and fillers.
#[must_use]
pub const fn is_plain(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    !matches!(
        character,
        '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_stays_on_one_line_and_shows_what_can_not_be_seen() {
        for (text, shown) in [
            ("plain, déjà vu, 日本", "plain, déjà vu, 日本"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{1b}[2J\u{7f}\u{9b}31m", "\\u{1b}[2J\\u{7f}\\u{9b}31m"),
            ("\u{202e}\u{2066}\u{61c}\u{200f}", "\\u{202e}\\u{2066}\\u{61c}\\u{200f}"),
            ("\u{2028}\u{2029}\u{feff}\u{e0041}", "\\u{2028}\\u{2029}\\u{feff}\\u{e0041}"),
        ] {
            assert_eq!(Excerpt(text).to_string(), shown);
            assert_eq!(format!("{:?}", Excerpt(text)), shown);
        }
        assert_eq!(Excerpt::of_bytes(b"a\xff\xc3\xa9\n").to_string(), "a\\xffé\\n");
    }

    #[test]
    fn an_excerpt_is_short_whatever_the_length_of_the_text() {
        let exactly = "é".repeat(EXCERPT_CHARS_MAX);
        assert_eq!(Excerpt(&exactly).to_string(), exactly);
        let long = format!("{exactly}é");
        assert_eq!(Excerpt(&long).to_string(), format!("{exactly}… (201 characters)"));
        assert_eq!(format!("{:.201}", Excerpt(&long)), long);
        let controls = "\u{e0041}".repeat(1 << 20);
        assert!(Excerpt(&controls).to_string().len() < 2100);
    }

    #[test]
    fn every_control_and_every_mark_of_direction_is_not_plain() {
        assert!((char::MIN..=char::MAX).filter(|c| c.is_control()).all(|c| !is_plain(c)));
        let directions = ['\u{61c}', '\u{200e}', '\u{200f}'];
        let more = ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
        assert!(directions.into_iter().chain(more).all(|c| !is_plain(c)));
        assert!((' '..='~').all(is_plain));
    }
}
