//! The JSON document's layout: values that fit a line stay on one line, and lists of numbers fill
//! their lines. Indented throughout, a report would be twice as long, most of it spaces.

/// The longest line.
const WIDTH: usize = 100;

/// Lays out a JSON text that has no spaces between its tokens.
pub(super) fn lay_out(compact: &str) -> String {
    let mut text = String::with_capacity(compact.len() * 5 / 4);
    write(&mut text, compact, 0, 0);
    text.push('\n');
    text
}

/// Writes a value, whose line begins `indent` spaces in and already has `before` characters.
fn write(text: &mut String, value: &str, indent: usize, before: usize) {
    let fits = indent + before + value.len() < WIDTH;
    let Some((open, close, inner)) = nested(value).filter(|_| !fits) else {
        text.push_str(value);
        return;
    };
    let items = items(inner);
    text.push(open);
    if items.iter().any(|item| nested(item).is_some() || open == '{') {
        write_lines(text, &items, indent + 1);
    } else {
        write_filled(text, &items, indent + 1);
    }
    new_line(text, indent);
    text.push(close);
}

/// An item a line.
fn write_lines(text: &mut String, items: &[&str], indent: usize) {
    for (at, item) in items.iter().enumerate() {
        new_line(text, indent);
        let (name, value) = member(item);
        text.push_str(name);
        write(text, value, indent, name.len());
        if at + 1 < items.len() {
            text.push(',');
        }
    }
}

/// As many items a line as fit.
fn write_filled(text: &mut String, items: &[&str], indent: usize) {
    let mut used = WIDTH;
    for (at, item) in items.iter().enumerate() {
        let comma = usize::from(at + 1 < items.len());
        if used + item.len() + comma > WIDTH {
            new_line(text, indent);
            used = indent;
        }
        text.push_str(item);
        text.push_str(if comma > 0 { "," } else { "" });
        used += item.len() + comma;
    }
}

fn new_line(text: &mut String, indent: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n(' ', indent));
}

/// The brackets of an object or a list, and what stands between.
fn nested(value: &str) -> Option<(char, char, &str)> {
    let brackets = |open, close| {
        let inner = value.strip_prefix(open)?.strip_suffix(close)?;
        (!inner.is_empty()).then_some((open, close, inner))
    };
    brackets('{', '}').or_else(|| brackets('[', ']'))
}

/// The items between two brackets.
fn items(inner: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut begin = 0;
    each_outside_of_strings(inner, |at, depth, byte| {
        if byte == b',' && depth == 0 {
            items.extend(inner.get(begin..at));
            begin = at + 1;
        }
    });
    items.extend(inner.get(begin..));
    items
}

/// An object's member: the name with its colon, and the value; of anything else, only the value.
fn member(item: &str) -> (&str, &str) {
    if !item.starts_with('"') {
        return ("", item);
    }
    let mut colon = None;
    each_outside_of_strings(item, |at, depth, byte| {
        if byte == b':' && depth == 0 && colon.is_none() {
            colon = Some(at + 1);
        }
    });
    colon.and_then(|at| item.split_at_checked(at)).unwrap_or(("", item))
}

/// Goes through the bytes that belong to no string, with the number of brackets around each.
fn each_outside_of_strings(text: &str, mut see: impl FnMut(usize, usize, u8)) {
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        if is_string {
            is_string = is_escaped || byte != b'"';
            is_escaped = byte == b'\\' && !is_escaped;
            continue;
        }
        match byte {
            b'"' => is_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            other => see(at, depth, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn same(value: &Value) -> String {
        let text = lay_out(&value.to_string());
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), *value, "{text}");
        text
    }

    #[test]
    fn short_values_stay_on_one_line() {
        assert_eq!(same(&json!({"a": [1, 2], "b": {}})), "{\"a\":[1,2],\"b\":{}}\n");
    }

    #[test]
    fn long_lists_of_numbers_fill_their_lines() {
        let numbers: Vec<u64> = (100..400).collect();
        let text = same(&json!({"numbers": numbers, "more": [[1.5, null], []]}));
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        // 24 numbers of three digits with their commas fill a line of 100, indented by two.
        assert_eq!(text.lines().count(), 300_usize.div_ceil(24) + 5, "{text}");
    }

    #[test]
    fn brackets_quotes_and_commas_within_strings_are_text() {
        let words =
            "\\\"{[,:]}\\\\\" and so on, until the line is longer than a hundred characters";
        same(&json!({"a:b,\"{": words, "c": [words, words], "d": {"e": {words: words}}}));
    }
}
