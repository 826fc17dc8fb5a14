//! A word of a command line: what stands between two spaces, such as the name of a queue.

use std::fmt;
use std::ops::Deref;

use crate::excerpt::Excerpt;

/// A text that is one word of a line: not empty, without spaces and line breaks. Commands hold the
/// names of queues as words, so that no name can become a second name or a second command. Whether
/// a queue may have the name is another question: [`is_queue_name`](crate::is_queue_name).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(String);

/// A text that is no [`Word`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" must be one word: not empty, without spaces and line breaks", Excerpt(.0))]
pub struct NotAWord(String);

impl Word {
    /// Checks a text.
    ///
    /// # Errors
    /// Where the text is empty, or has a space, a line feed or a carriage return.
    pub fn new(text: impl Into<String>) -> Result<Self, NotAWord> {
        let text = text.into();
        if text.is_empty() || text.contains([' ', '\n', '\r']) {
            Err(NotAWord(text))
        } else {
            Ok(Self(text))
        }
    }
}

impl Deref for Word {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Word> for String {
    fn from(word: Word) -> Self {
        word.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_a_space_or_a_line_break_is_no_word() {
        for text in ["", "a b", "a\n", "\ra", " "] {
            assert!(Word::new(text).is_err(), "{text:?}");
        }
        for text in ["*", "default", "é\t\u{202e}"] {
            assert_eq!(&*Word::new(text).unwrap(), text);
        }
    }
}
