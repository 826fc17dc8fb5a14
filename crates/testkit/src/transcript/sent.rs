//! The texts that a dialogue sends: placeholders filled, escapes resolved.

use std::time::Duration;

use faktory_wire::{Timestamp, password_hash};

use super::PASSWORD;
use crate::wire_client::WireClient;

/// Fills the placeholders of a text to be sent.
pub(super) fn substitute(text: &str, client: &WireClient) -> String {
    let hash = |password: &str| {
        let greeting = client.greeting.clone().unwrap();
        password_hash(
            password,
            &greeting.salt.unwrap_or_default(),
            greeting.iterations.unwrap_or(1),
        )
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, behind) = after.split_once("}}").unwrap();
        out.push_str(before);
        match name {
            "pwdhash" => out.push_str(&hash(PASSWORD)),
            "PWDHASH" => out.push_str(&hash(PASSWORD).to_uppercase()),
            "wrongdhash" => out.push_str(&hash("another password")),
            _ if name.starts_with("now+") => {
                let seconds: u64 =
                    name.trim_start_matches("now+").trim_end_matches('s').parse().unwrap();
                out.push_str(&Timestamp::now().plus(Duration::from_secs(seconds)).to_string());
            }
            _ if name.starts_with("pad:") => out.push_str(&"x".repeat(name[4..].parse().unwrap())),
            other => panic!("unknown placeholder {other}"),
        }
        rest = behind;
    }
    out + rest
}

/// Resolves `\\r`, `\\n` and `\\uXXXX`; other backslashes stay.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('r') => out.push('\r'),
                Some('n') => out.push('\n'),
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    out.push(
                        u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).unwrap(),
                    );
                }
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn control_characters_are_resolved_and_other_backslashes_stay() {
        assert_eq!(unescape(r"a\r\n"), "a\r\n");
        assert_eq!(unescape(r"\u0041\d\\"), "A\\d\\\\");
    }
}
