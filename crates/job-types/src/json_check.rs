//! The check of raw JSON for what Faktory would change or refuse: numbers must be exact, nesting
//! bounded, and strings without half a surrogate pair. The check also removes white space outside
//! of strings.

use std::borrow::Cow;

use crate::field_error::{Code, FieldError};

/// Levels of arrays and objects inside each other, the outermost included.
pub const NESTING_MAX: usize = 64;

/// Checks JSON text that is known to be valid, and returns the text without white space between its
/// tokens; borrowed where there is none. `member` is the member that holds the text.
pub(crate) fn check<'a>(json: &'a str, member: &str) -> Result<Cow<'a, str>, FieldError> {
    let mut scan = Scan { json, at: 0, depth: 0, kept: String::new(), kept_to: 0, member };
    scan.run()?;
    if scan.kept_to == 0 {
        return Ok(Cow::Borrowed(json));
    }
    scan.keep();
    Ok(Cow::Owned(scan.kept))
}

struct Scan<'a, 'm> {
    json: &'a str,
    at: usize,
    depth: usize,
    /// The text before `kept_to`, without its white space.
    kept: String,
    kept_to: usize,
    member: &'m str,
}

impl<'a> Scan<'a, '_> {
    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    /// Moves to `end` and returns the text in between.
    fn take_to(&mut self, end: usize) -> &'a str {
        let token = self.json.get(self.at..end).unwrap_or_default();
        self.at = end.max(self.at + 1);
        token
    }

    fn fault<T>(&self, code: Code, detail: String) -> Result<T, FieldError> {
        Err(FieldError::at(self.member, code, detail))
    }

    fn run(&mut self) -> Result<(), FieldError> {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => {
                    self.keep();
                    self.at += 1;
                    self.kept_to = self.at;
                }
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                b'[' | b'{' => {
                    self.depth += 1;
                    if self.depth > NESTING_MAX {
                        return self.fault(
                            Code::TooDeep,
                            format!("nested deeper than {NESTING_MAX} levels"),
                        );
                    }
                    self.token(1);
                }
                b']' | b'}' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.token(1);
                }
                b',' | b':' => self.token(1),
                _ => {
                    // true, false, null
                    let rest = self.json.get(self.at..).unwrap_or_default();
                    let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count().max(1);
                    self.token(length);
                }
            }
        }
        Ok(())
    }

    fn token(&mut self, length: usize) {
        self.take_to(self.at + length);
    }

    /// Keeps the text before the current position.
    fn keep(&mut self) {
        self.kept.push_str(self.json.get(self.kept_to..self.at).unwrap_or_default());
        self.kept_to = self.at;
    }

    fn string(&mut self) -> Result<(), FieldError> {
        let bytes = self.json.as_bytes();
        let mut end = self.at + 1;
        while let Some(byte) = bytes.get(end) {
            match byte {
                b'"' => break,
                b'\\' if bytes.get(end + 1) == Some(&b'u') => {
                    end = self.unicode_escape(end)?;
                }
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        self.take_to(end + 1);
        Ok(())
    }

    /// Given the position of the backslash of `\uXXXX`, returns the position after the escape, or
    /// after the surrogate pair that the escape begins.
    fn unicode_escape(&self, at: usize) -> Result<usize, FieldError> {
        let unit = |at: usize| {
            let digits = self.json.get(at..at + 6)?.strip_prefix("\\u")?;
            u16::from_str_radix(digits, 16).ok()
        };
        let lone = || {
            self.fault(
                Code::LoneSurrogate,
                "a string holds half of a surrogate pair (one of \\ud800 to \\udfff alone), which \
                 is not a character"
                    .into(),
            )
        };
        match unit(at) {
            Some(0xD800..=0xDBFF) => match unit(at + 6) {
                Some(0xDC00..=0xDFFF) => Ok(at + 12),
                _ => lone(),
            },
            Some(0xDC00..=0xDFFF) => lone(),
            _ => Ok(at + 6),
        }
    }

    fn number(&mut self) -> Result<(), FieldError> {
        let rest = self.json.get(self.at..).unwrap_or_default();
        let length = rest
            .bytes()
            .take_while(|byte| matches!(byte, b'-' | b'+' | b'.' | b'0'..=b'9' | b'e' | b'E'))
            .count();
        let token = self.take_to(self.at + length);
        if !survives_float64(token) {
            let shown: String = token.chars().take(40).collect();
            let detail = format!(
                "{shown} does not survive as a 64-bit floating-point number, into which Faktory \
                 turns every number; send it as a string"
            );
            return self.fault(Code::NumberNotExact, detail);
        }
        Ok(())
    }
}

/// Whether a number survives as a 64-bit float. A decimal may be rounded, but must stay in range;
/// an integer must be exact.
fn survives_float64(token: &str) -> bool {
    let Some(value) = token.parse::<f64>().ok().filter(|value| value.is_finite()) else {
        return false;
    };
    if token.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return true;
    }
    // Beyond 38 digits no i128 holds the integer, and hardly any float64 does; the conversion stops
    // at the largest i128.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an integer-valued float within i128, converted exactly"
    )]
    token.parse::<i128>().is_ok_and(|exact| exact != i128::MAX && value as i128 == exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(json: &str) -> Code {
        check(json, "args").unwrap_err().code
    }

    #[test]
    fn white_space_is_removed_and_everything_else_stays() {
        let json = " [ 1.10 , \"a \\n b\" ,\r\n { \"k\" : [ true , null ] } , -0.0, 1E5 ] ";
        assert_eq!(check(json, "args").unwrap(), r#"[1.10,"a \n b",{"k":[true,null]},-0.0,1E5]"#);
    }

    #[test]
    fn integers_are_accepted_where_a_float64_holds_them_exactly() {
        for exact in [
            "9007199254740992",
            "-9007199254740992",
            "9007199254740994",
            "1152921504606846976",
            "0",
            "-0",
        ] {
            assert!(check(exact, "args").is_ok(), "{exact}");
        }
        for inexact in [
            "9007199254740993",
            "-9007199254740993",
            "18446744073709551615",
            "1e309",
            "-1e309",
            "170141183460469231731687303715884105727",
            &"9".repeat(400),
        ] {
            assert_eq!(code(inexact), Code::NumberNotExact, "{inexact}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check(&nested(64), "args").is_ok());
        assert_eq!(code(&nested(65)), Code::TooDeep);
        assert_eq!(code(&nested(1_000_000)), Code::TooDeep);
    }

    #[test]
    fn surrogates_are_accepted_in_pairs_only() {
        assert!(check(r#"["\ud83d\ude00","\\ud800","\u00e9"]"#, "args").is_ok());
        for lone in [
            r#"["\ud800"]"#,
            r#"["\udc00"]"#,
            r#"["\ud800\u0041"]"#,
            r#"["\ud800\\udc00"]"#,
            r#"{"\udfff":1}"#,
        ] {
            assert_eq!(code(lone), Code::LoneSurrogate, "{lone}");
        }
    }
}
