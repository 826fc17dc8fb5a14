//! Texts of the environment into values. An error says what is accepted, and reads after "must be".

use std::net::SocketAddr;
use std::time::Duration;

/// Longer than any wait that makes sense.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let accepted =
        || "a time above 0 and up to a day, such as 5 (seconds), 5s, 500ms or 2m".to_owned();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(accepted)?;
    let number: u64 = number.parse().map_err(|_| accepted())?;
    let duration = match unit.trim() {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    };
    duration
        .filter(|duration| !duration.is_zero() && *duration <= DURATION_MAX)
        .ok_or_else(accepted)
}

pub(crate) fn milliseconds(text: &str) -> Result<Duration, String> {
    let accepted = || "a whole number of milliseconds up to 86400000".to_owned();
    let duration = text.parse().map(Duration::from_millis).map_err(|_| accepted())?;
    if duration <= DURATION_MAX { Ok(duration) } else { Err(accepted()) }
}

pub(crate) fn bytes(text: &str, most: u64) -> Result<usize, String> {
    let accepted = || format!("a size from 1 to {most} bytes, such as 1000000, 64KiB or 16MiB");
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
    let size =
        number.checked_mul(factor).filter(|size| (1..=most).contains(size)).ok_or_else(accepted)?;
    usize::try_from(size).map_err(|_| accepted())
}

pub(crate) fn count(text: &str, most: usize) -> Result<usize, String> {
    let accepted = || format!("a whole number from 1 to {most}");
    text.parse().ok().filter(|count| (1..=most).contains(count)).ok_or_else(accepted)
}

pub(crate) fn count_or_none(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|count| *count <= 1_000_000)
        .ok_or_else(|| "a whole number from 0 (none) to 1000000".to_owned())
}

/// The name of a congestion control; whether the system has it shows when it is used.
pub(crate) fn congestion(text: &str) -> Result<String, String> {
    let fits = (1..16).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("the name of a TCP congestion control, such as cubic or bbr".into())
    }
}

pub(crate) fn yes_or_no(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "true or false".to_owned())
}

/// Names of hosts, without ports.
pub(crate) fn hosts(text: &str) -> Result<Vec<String>, String> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().all(|name| is_name(name)) {
        Ok(names)
    } else {
        Err("names or addresses without ports, comma-separated, such as jobs.example,10.0.0.5"
            .into())
    }
}

pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text
        .strip_prefix("localhost:")
        .map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().map_err(|_| {
        "an address and a port, such as 127.0.0.1:3000, 0.0.0.0:3000 or [::1]:3000".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, expected) in [
            ("5", 5000),
            ("5s", 5000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("24h", 86_400_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(expected)), "{text}");
        }
        for text in [
            "",
            "0",
            "-1",
            "5 parsecs",
            "s",
            "1.5s",
            "25h",
            "99999999999999999999s",
            "18446744073709551615m",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(bytes("16MiB", u64::MAX), Ok(16 << 20));
        assert_eq!(bytes("1000000", u64::MAX), Ok(1_000_000));
        assert_eq!(bytes("64 KiB", u64::MAX), Ok(64 << 10));
        for text in ["", "0", "16 monkeys", "-5", "99999999999GiB", "2MiB"] {
            assert!(bytes(text, 1 << 20).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_and_counts() {
        assert_eq!(address("localhost:3000").unwrap().to_string(), "127.0.0.1:3000");
        assert!(address("3000").is_err() && address("127.0.0.1").is_err());
        assert!(count("0", 9).is_err() && count("10", 9).is_err() && count("9", 9) == Ok(9));
    }
}
