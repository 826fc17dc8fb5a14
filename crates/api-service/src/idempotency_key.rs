//! The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that is sent
//! again with the same key is the same request. What follows from a key is in `posting.rs`.

use axum::http::HeaderMap;

use crate::problem::{Code, Problem};

const HEADER: &str = "idempotency-key";

/// The most characters of a key.
const CHARACTERS_MAX: usize = 255;

/// The key of a request, where it has one: 1 to 255 visible characters of ASCII. The draft writes a
/// key as a string of RFC 8941, in quotes; the same characters without quotes are the same key.
pub(crate) fn of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().and_then(|value| match value.strip_prefix('"') {
        Some(quoted) => unquoted(quoted),
        None => Some(value.to_owned()),
    });
    let fits = |key: &String| {
        (1..=CHARACTERS_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match key.filter(fits) {
        Some(key) if values.next().is_none() => Ok(Some(key)),
        _ => Err(Problem::new(
            Code::InvalidIdempotencyKey,
            "Idempotency-Key must be one string of 1 to 255 visible ASCII characters, with or \
             without quotes around it, such as \"8e03978e-40d5-43dd-bc93-6894a57f9324\"",
        )),
    }
}

/// The text of a string of RFC 8941 behind its first quote; `None` where it is none.
fn unquoted(text: &str) -> Option<String> {
    let mut key = String::with_capacity(text.len());
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(key),
            '\\' => key.push(characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            other => key.push(other),
        }
    }
}

/// The refusal of a key where the work server does not remember ids.
pub(crate) fn not_supported() -> Problem {
    let detail = "Idempotency-Key would be ignored, because the work server does not remember ids \
                  of jobs; leave it out, and give each job a job_id of your own so that workers \
                  can tell repeated ones";
    Problem::new(Code::IdempotencyNotSupported, detail)
}

/// Refuses a stream with a key: its lines are no one request.
pub(crate) fn refuse(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(HEADER) {
        let detail = "a stream takes no Idempotency-Key; leave it out, and give the job on each \
                      line a job_id of your own, or post batches";
        return Err(Problem::new(Code::IdempotencyNotSupported, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_string_with_or_without_quotes() {
        let longest = "x".repeat(255);
        for (value, expected) in [
            ("a", Some("a")),
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", Some("8e03978e-40d5-43dd-bc93-6894a57f9324")),
            (r#""a""#, Some("a")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            (r#"a"b"#, Some(r#"a"b"#)),
            (&longest, Some(longest.as_str())),
            (&format!("\"{longest}\""), Some(longest.as_str())),
            (&"x".repeat(256), None),
            ("", None),
            (r#""""#, None),
            (r#"""#, None),
            (r#""a"#, None),
            (r#""a"b"#, None),
            (r#""a";p=1"#, None),
            (r#""a\b""#, None),
            (r#""a\"#, None),
            ("a b", None),
            (r#""a b""#, None),
            ("a\tb", None),
            ("\u{fc}", None),
        ] {
            let headers = HeaderMap::from_iter([(
                axum::http::HeaderName::from_static(HEADER),
                axum::http::HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )]);
            assert_eq!(of(&headers).ok(), expected.map(|key| Some(key.to_owned())), "{value}");
        }
        assert_eq!(of(&HeaderMap::new()).ok(), Some(None));
        let mut twice = HeaderMap::new();
        twice.append(HEADER, "a".parse().unwrap());
        twice.append(HEADER, "a".parse().unwrap());
        assert!(of(&twice).is_err());
    }
}
