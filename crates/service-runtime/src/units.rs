//! The one grammar for durations and sizes, in variables and on command lines. An error says what
//! is accepted, and reads after "must be" and after "write". Bounds are the caller's.

use std::time::Duration;

/// A duration: numbers with units, such as `500ms`, `5s`, `1.5s`, `2m` or `1m 30s`; a number alone
/// is seconds.
///
/// # Errors
/// With the forms that are accepted.
pub fn duration(text: &str) -> Result<Duration, String> {
    let accepted = || "a time such as 5 (seconds), 5s, 500ms, 2m or 1m 30s".to_owned();
    let text = text.trim();
    let is_bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_bare {
        return text.parse().map(Duration::from_secs).map_err(|_| accepted());
    }
    // Each number with its unit is read alone: humantime panics where a sum overflows by a second.
    let sum = parts(text).into_iter().try_fold(Duration::ZERO, |sum, part| {
        let has_unit = part.ends_with(char::is_alphabetic);
        sum.checked_add(humantime::parse_duration(part).ok().filter(|_| has_unit)?)
    });
    sum.filter(|_| !text.is_empty()).ok_or_else(accepted)
}

/// The numbers of a duration, each with its unit: a part ends where the letters of a unit end.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.find(char::is_alphabetic).unwrap_or(rest.len());
        let (_, from_unit) = rest.split_at(unit);
        let length = from_unit.find(|c: char| !c.is_alphabetic()).unwrap_or(from_unit.len());
        let (part, behind) = rest.split_at(unit + length);
        parts.push(part);
        rest = behind;
    }
    parts
}

/// A size in bytes: a number alone, or with a unit, such as `1000000`, `64 KiB`, `16MiB` or `2MB`.
///
/// # Errors
/// With the forms that are accepted.
pub fn size(text: &str) -> Result<u64, String> {
    let accepted = || "a size in bytes such as 1000000, 64KiB or 16MiB".to_owned();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(accepted)?;
    let number: u64 = number.parse().map_err(|_| accepted())?;
    let factor = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(accepted()),
    };
    number.checked_mul(factor).ok_or_else(accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_form_of_a_duration_is_accepted() {
        for (text, milliseconds) in [
            // As variables have always taken them.
            ("5", 5000),
            ("0", 0),
            ("5s", 5000),
            ("5 s", 5000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("24h", 86_400_000),
            // As the benchmark's command line has always taken them.
            ("0ms", 0),
            ("100ms", 100),
            ("2s", 2000),
            ("1.5s", 1500),
            ("1m 30s", 90_000),
            ("2min", 120_000),
            ("1h30m", 5_400_000),
            ("1h 30m 5s", 5_405_000),
            ("1 000 ms", 1000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_forms_that_are_accepted() {
        for text in [
            "",
            " ",
            "-1",
            "-5s",
            "s",
            "ms",
            "5 parsecs",
            "5x",
            "1,5s",
            "5s!",
            "1.s",
            "1.5",
            "99999999999999999999",
            "99999999999999999999s",
            "18446744073709551615m",
            "18446744073709551615s 1000ms",
        ] {
            let error = duration(text).unwrap_err();
            assert!(error.contains("5 (seconds), 5s, 500ms, 2m or 1m 30s"), "{text}: {error}");
        }
    }

    #[test]
    fn every_documented_form_of_a_size_is_accepted() {
        for (text, bytes) in [
            ("1000000", 1_000_000),
            ("0", 0),
            ("7B", 7),
            ("2KiB", 2 << 10),
            ("64 KiB", 64 << 10),
            ("16MiB", 16 << 20),
            ("1GiB", 1 << 30),
            ("3kB", 3000),
            ("3KB", 3000),
            ("2MB", 2_000_000),
            ("1 GB", 1_000_000_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_the_forms_that_are_accepted() {
        for text in ["", "-5", "MiB", "16 monkeys", "1.5MiB", "16M", "16mib", "99999999999GiB", "ä"]
        {
            let error = size(text).unwrap_err();
            assert!(error.contains("1000000, 64KiB or 16MiB"), "{text}: {error}");
        }
    }
}
