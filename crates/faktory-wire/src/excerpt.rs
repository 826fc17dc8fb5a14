//! The beginning of a client's text, made fit to stand in an error line.

/// Characters of a client's own text that an error repeats.
const CHARS_MAX: usize = 200;

/// The first 200 characters of a text, with a space for each control character. An error line must
/// stay short and must not be split by a CR or LF that a client sent.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_stays_on_one_line() {
        assert_eq!(excerpt("NO\r\nPE"), "NO  PE");
        assert_eq!(excerpt(&"é".repeat(1000)), "é".repeat(200));
    }
}
