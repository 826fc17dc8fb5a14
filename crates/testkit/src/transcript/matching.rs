//! The comparison of a reply with its expectation, in which placeholders stand for varying parts.

use faktory_wire::Timestamp;
use serde_json::Value;

/// The member under which the broker tells what Faktory does not know.
const OURS: &str = "work_factory";

/// Compares JSON with placeholders: members may be in any order, and no member may be missing or
/// additional, but for the one of ours.
pub(super) fn json_matches(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::String(placeholder), _)
            if placeholder.starts_with("{{") && placeholder.ends_with("}}") =>
        {
            match placeholder.as_str() {
                "{{int}}" => got.is_i64() || got.is_u64(),
                "{{number}}" => got.is_number(),
                "{{time}}" => got.as_str().is_some_and(|text| Timestamp::parse(text).is_ok()),
                "{{any}}" => true,
                other => panic!("unknown placeholder {other}"),
            }
        }
        (Value::Object(expected), Value::Object(got)) => {
            let additional = usize::from(got.contains_key(OURS) && !expected.contains_key(OURS));
            expected.len() + additional == got.len()
                && expected
                    .iter()
                    .all(|(name, value)| got.get(name).is_some_and(|got| json_matches(value, got)))
        }
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len()
                && expected.iter().zip(got).all(|(expected, got)| json_matches(expected, got))
        }
        // 1 and 1.0 are the same number. Two different integers are different, however close.
        (Value::Number(expected), Value::Number(got)) => {
            expected == got
                || (expected.is_f64() || got.is_f64()) && expected.as_f64() == got.as_f64()
        }
        _ => expected == got,
    }
}

/// Compares text with placeholders: the text between the fixed parts must be of the right kind.
pub(super) fn text_matches(expected: &str, got: &str) -> bool {
    let Some((before, rest)) = expected.split_once("{{") else { return expected == got };
    let (kind, behind) = rest.split_once("}}").unwrap();
    let Some(tail) = got.strip_prefix(before) else { return false };
    let fits = |part: &str| match kind {
        "int" => !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()),
        "hex" => !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "any" => true,
        other => panic!("unknown placeholder {other}"),
    };
    (0..=tail.len())
        .filter(|end| tail.is_char_boundary(*end))
        .any(|end| fits(&tail[..end]) && text_matches(behind, &tail[end..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn placeholders_in_json_accept_values_of_their_kind_only() {
        let expected = json!({ "n": "{{int}}", "at": "{{time}}", "x": "{{any}}" });
        let got = |n: Value| json!({ "at": "2026-01-01T00:00:00Z", "x": null, "n": n });
        assert!(json_matches(&expected, &got(json!(3))));
        assert!(!json_matches(&expected, &got(json!(3.5))));
        assert!(!json_matches(&expected, &got(json!("3"))));
        assert!(!json_matches(&expected, &json!({ "n": 3, "x": 1 })), "a member is missing");
        let with = |name: &str| json!({ "n": 1, name: 2 });
        assert!(!json_matches(&json!({ "n": 1 }), &with("m")), "a member is additional");
        assert!(json_matches(&json!({ "n": 1 }), &with(OURS)));
        assert!(json_matches(&json!([1, 2.0]), &json!([1.0, 2])));
        assert!(!json_matches(&json!(9007199254740993_u64), &json!(9007199254740992_u64)));
    }

    #[test]
    fn placeholders_in_text_accept_parts_of_their_kind_only() {
        assert!(text_matches("+OK", "+OK") && !text_matches("+OK", "+OK "));
        assert!(text_matches("-ERR {{int}} of {{any}}", "-ERR 12 of them"));
        assert!(!text_matches("-ERR {{int}} of {{any}}", "-ERR x of them"));
        assert!(text_matches("id {{hex}}.", "id 0aF."));
        assert!(!text_matches("id {{hex}}.", "id ."));
    }
}
