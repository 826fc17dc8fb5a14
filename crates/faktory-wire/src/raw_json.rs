//! JSON that is carried without being interpreted: checked, and then kept byte for byte.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::excerpt::Excerpt;

/// A text that is not JSON.
#[derive(Debug, thiserror::Error)]
#[error("not valid JSON: {}", Excerpt(.0))]
pub struct InvalidJson(#[from] serde_json::Error);

/// A JSON value as text, kept byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct RawJson(String);

impl RawJson {
    /// Checks the syntax and keeps the text.
    ///
    /// # Errors
    /// Where the text is not one JSON value.
    pub fn parse(text: &str) -> Result<Self, InvalidJson> {
        let raw: &RawValue = serde_json::from_str(text)?;
        Ok(Self(raw.get().into()))
    }

    /// Checks the text, and takes it without a copy where it has no white space around the value.
    ///
    /// # Errors
    /// Where the text is not one JSON value.
    pub fn of_text(text: String) -> Result<Self, InvalidJson> {
        let raw: &RawValue = serde_json::from_str(&text)?;
        if raw.get().len() == text.len() { Ok(Self(text)) } else { Ok(Self(raw.get().into())) }
    }

    /// Wraps a text that the caller knows to be one JSON value, without a second check.
    #[must_use]
    pub fn from_checked(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        &self.0
    }

    /// True where the text begins with this character, which tells the kind of the value.
    pub(crate) fn starts_with(&self, first: char) -> bool {
        self.0.starts_with(first)
    }

    /// True for an object or array without members.
    pub(crate) fn is_empty_container(&self) -> bool {
        let inner = self.0.get(1..self.0.len().saturating_sub(1)).unwrap_or("");
        matches!(self.0.as_bytes().first(), Some(b'{' | b'[')) && inner.trim().is_empty()
    }

    /// Appends the text as part of one protocol line. LF and CR are left out: in valid JSON both
    /// can only be white space between tokens.
    pub(crate) fn write_on_one_line(&self, out: &mut Vec<u8>) {
        push_on_one_line(self.0.as_bytes(), out);
    }
}

/// Appends bytes without LF and CR.
pub(crate) fn push_on_one_line(bytes: &[u8], out: &mut Vec<u8>) {
    let breaks = |byte: u8| (byte == b'\n') | (byte == b'\r');
    // No early end: the compiler makes vector instructions of this.
    if bytes.iter().fold(false, |found, byte| found | breaks(*byte)) {
        out.extend(bytes.iter().filter(|byte| !breaks(**byte)));
    } else {
        out.extend_from_slice(bytes);
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(Box::<str>::from(raw).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_the_text_is_kept() {
        let text = r#"[1.0, 9007199254740993,"\ud800",{"b":1,"a":2,"b":3}]"#;
        assert_eq!(RawJson::parse(text).unwrap().get(), text);
    }

    #[test]
    fn a_line_feed_between_tokens_never_becomes_a_second_line() {
        let mut out = Vec::new();
        RawJson::parse("[1,\r\n 2]").unwrap().write_on_one_line(&mut out);
        assert_eq!(out, b"[1, 2]");
    }

    #[test]
    fn a_container_with_only_white_space_is_empty() {
        assert!(RawJson::parse("{ }").unwrap().is_empty_container());
        assert!(!RawJson::parse("[0]").unwrap().is_empty_container());
        assert!(!RawJson::parse("7").unwrap().is_empty_container());
    }
}
