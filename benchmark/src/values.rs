//! Values as people write them on the command line.

use std::time::Duration;

/// A duration such as `100ms`, `2s`, `1m 30s`, in the same forms as in the services' variables.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    service_runtime::units::duration(text).map_err(|accepted| format!("write {accepted}"))
}

/// A share: `1%` or `0.01`.
pub(crate) fn parse_share(text: &str) -> Result<f64, String> {
    let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    match number.trim().parse::<f64>() {
        Ok(value) if (0.0..=whole).contains(&value) => Ok(value / whole),
        _ => Err("write a share from 0 to 1, or a percentage such as 1%".into()),
    }
}

/// Bits a second: `20mbit`, as `tc` writes them.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let units = [("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3), ("bit", 1.0)];
    let parsed = units.iter().find_map(|(unit, factor)| {
        Some(lower.strip_suffix(unit)?.trim().parse::<f64>().ok()? * factor)
    });
    match parsed {
        Some(rate) if (1.0..1e12).contains(&rate) => Ok(rate as u64),
        _ => Err("write a rate such as 20mbit, 512kbit or 1gbit".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_are_written_for_netem() {
        assert_eq!(parse_rate("20mbit"), Ok(20_000_000));
        assert_eq!(parse_rate("1.5Gbit"), Ok(1_500_000_000));
        assert_eq!(parse_share("1%"), Ok(0.01));
        assert_eq!(parse_share("0.5"), Ok(0.5));
        for (text, seconds) in [("100ms", 0.1), ("0ms", 0.0), ("1m 30s", 90.0), ("5", 5.0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for wrong in ["20", "mbit", "-1mbit", "x"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
        assert!(
            parse_share("101%").is_err()
                && parse_share("2").is_err()
                && parse_duration("5 parsecs").unwrap_err().starts_with("write a time such as 5")
        );
    }
}
