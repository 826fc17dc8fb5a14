//! Numbers as people write them: digits that count, units, separators.

/// A number as a person would write it: three digits count.
pub(super) fn number(value: f64) -> String {
    if value >= 1000.0 {
        let whole = format!("{value:.0}");
        let mut text = String::new();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else if value >= 0.1 || value == 0.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// A number on an axis: no digits that say nothing.
pub(super) fn plain(value: f64) -> String {
    if value.abs() >= 1000.0 {
        return number(value);
    }
    let digits = format!("{value:.3}");
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How many times the baseline's figure.
pub(super) fn times(ratio: f64) -> String {
    format!("{} ×", number(ratio))
}

/// Seconds as a time, for a headline.
pub(super) fn seconds(value: f64) -> String {
    if value >= 1.0 { format!("{} s", number(value)) } else { time(value * 1e6) }
}

/// A number of things that were counted.
pub(super) fn count(value: u64) -> String {
    if value < 1000 { value.to_string() } else { number(value as f64) }
}

/// Microseconds as a time.
pub(super) fn time(us: f64) -> String {
    if us >= 10_000_000.0 {
        format!("{:.1} s", us / 1e6)
    } else if us >= 1000.0 {
        format!("{} ms", number(us / 1e3))
    } else {
        format!("{us:.0} µs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let texts: Vec<String> =
            [0.1234, 9.876, 12.34, 123.4, 1234.5, 1_234_567.0].map(number).into();
        assert_eq!(texts, ["0.12", "9.88", "12.3", "123", "1,234", "1,234,567"]);
        assert_eq!([time(12.0), time(1500.0), time(12_345_678.0)], ["12 µs", "1.50 ms", "12.3 s"]);
    }

    #[test]
    fn a_headline_has_seconds_from_one_second_on_and_whole_counts() {
        assert_eq!(
            [seconds(0.6722), seconds(5.154), seconds(71.0)],
            ["672 ms", "5.15 s", "71.0 s"]
        );
        assert_eq!([count(0), count(64), count(7_758_960)], ["0", "64", "7,758,960"]);
    }

    #[test]
    fn ticks_have_no_digits_that_say_nothing() {
        let texts: Vec<String> = [0.0, 0.2, 2.5, 100.0, 20_000.0].map(plain).into();
        assert_eq!(texts, ["0", "0.2", "2.5", "100", "20,000"]);
    }
}
