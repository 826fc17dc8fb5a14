//! Texts of variables into values. An error says what is accepted, and reads after "must be".

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use admission::Nets;

use crate::secret::Secret;
use crate::units;

/// Longer than any wait that makes sense.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest window of remembered ids.
const WINDOW_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The largest count where 0 is one too.
const COUNT_OR_ZERO_MAX: u32 = 1_000_000;

/// A value that need not be set: `None` for the empty text of a default that is none.
pub(super) fn optional<T>(
    parse: impl Fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<Option<T>, String> {
    move |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text)
        .ok()
        .filter(|duration| !duration.is_zero() && *duration <= DURATION_MAX)
        .ok_or_else(|| {
            "a time above 0 and up to a day, such as 5 (seconds), 5s, 500ms, 2m or 1m 30s".into()
        })
}

/// A time of whole seconds up to 30 days; 0 for none.
pub(super) fn window(text: &str) -> Result<Duration, String> {
    let zero = (text == "0").then_some(Duration::ZERO);
    let found = zero.or_else(|| units::duration(text).ok());
    found.filter(|found| *found <= WINDOW_MAX && found.subsec_nanos() == 0).ok_or_else(|| {
        "a time of whole seconds up to 30 days, such as 24h or 10m, or 0 for not at all".into()
    })
}

pub(super) fn milliseconds(text: &str) -> Result<Duration, String> {
    let bare = text.parse().ok().map(Duration::from_millis);
    // The log shows the value with its unit, and what the log shows is accepted.
    bare.or_else(|| units::duration(text).ok())
        .filter(|duration| *duration <= DURATION_MAX)
        .ok_or_else(|| {
            "a whole number of milliseconds up to 86400000, or a time such as 100ms".into()
        })
}

/// A size from 1 byte to `most` bytes.
pub(super) fn size(most: usize) -> impl Fn(&str) -> Result<usize, String> {
    move |text| {
        let size = units::size(text).ok().and_then(|size| usize::try_from(size).ok());
        size.filter(|size| (1..=most).contains(size)).ok_or_else(|| {
            format!("a size from 1 to {most} bytes, such as 1000000, 64KiB or 16MiB")
        })
    }
}

/// A whole number from 1 to `most`.
pub(super) fn count(most: usize) -> impl Fn(&str) -> Result<usize, String> {
    move |text| {
        let count = text.parse().ok().filter(|count| (1..=most).contains(count));
        count.ok_or_else(|| format!("a whole number from 1 to {most}"))
    }
}

/// A whole number of which 0 turns something off.
pub(super) fn count_or_zero<T: TryFrom<u32>>(text: &str) -> Result<T, String> {
    let count = text.parse().ok().filter(|count| *count <= COUNT_OR_ZERO_MAX);
    count
        .and_then(|count| T::try_from(count).ok())
        .ok_or_else(|| format!("a whole number from 0 (none) to {COUNT_OR_ZERO_MAX}"))
}

/// The name of a congestion control; whether the system has it shows when it is used.
pub(super) fn congestion(text: &str) -> Result<String, String> {
    let is_of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..16).contains(&text.len()) && text.bytes().all(is_of_name) {
        Ok(text.to_owned())
    } else {
        Err("the name of a TCP congestion control, such as cubic or bbr".into())
    }
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "true or false".to_owned())
}

/// Names of hosts, without ports; none in an empty text.
pub(super) fn hosts(text: &str) -> Result<Vec<String>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let is_name = |name: &String| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().all(is_name) {
        Ok(names)
    } else {
        Err("names or addresses without ports, comma-separated, such as jobs.example,10.0.0.5"
            .into())
    }
}

/// Networks and addresses; none in an empty text.
pub(super) fn nets(text: &str) -> Result<Nets, String> {
    text.parse().map_err(|part| {
        format!(
            "addresses and networks, comma-separated, such as 127.0.0.1,10.0.0.0/8,fd00::/8; \
             {part} is neither"
        )
    })
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let port_of_localhost = text.strip_prefix("localhost:");
    let parsed = match port_of_localhost {
        Some(port) => format!("127.0.0.1:{port}").parse(),
        None => text.parse(),
    };
    parsed.map_err(|_| {
        "an address and a port, such as 127.0.0.1:3000, 0.0.0.0:3000 or [::1]:3000".into()
    })
}

/// A path; whether there is such a file shows when it is read.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    Ok(text.into())
}

/// Any text.
pub(super) fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// Any text, which is hidden from now on.
pub(super) fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_variables_are_above_0_and_up_to_a_day() {
        for (text, seconds) in [("5", 5), ("5s", 5), ("2m", 120), ("24h", 86_400), ("1d", 86_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0", "0s", "-1", "5 parsecs", "25h", "2M", "1y", "18446744073709551615m"] {
            assert!(duration(text).unwrap_err().contains("5s, 500ms, 2m"), "{text}");
        }
        assert_eq!(milliseconds("100"), Ok(Duration::from_millis(100)));
        assert_eq!(milliseconds("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(milliseconds("0"), Ok(Duration::ZERO));
        assert!(milliseconds("86400001").is_err() && milliseconds("25h").is_err());
    }

    #[test]
    fn sizes_of_variables_have_bounds() {
        let size = size(1 << 20);
        assert_eq!((size("1MiB"), size("1000000")), (Ok(1 << 20), Ok(1_000_000)));
        for text in ["", "0", "16 monkeys", "-5", "99999999999GiB", "2MiB"] {
            assert!(size(text).unwrap_err().contains("1000000, 64KiB or 16MiB"), "{text}");
        }
    }

    #[test]
    fn addresses_and_counts_are_read_as_people_write_them() {
        assert_eq!(address("localhost:3000").unwrap().to_string(), "127.0.0.1:3000");
        assert!(address("3000").is_err() && address("127.0.0.1").is_err());
        let count = count(9);
        assert!(count("0").is_err() && count("10").is_err() && count("9") == Ok(9));
        assert_eq!(count_or_zero("0"), Ok(0_u32));
        assert!(count_or_zero::<usize>("1000001").is_err());
    }

    #[test]
    fn what_need_not_be_set_is_none_only_where_it_is_not() {
        assert_eq!(optional(address)(""), Ok(None));
        assert!(optional(address)("nowhere").is_err());
        assert_eq!(hosts(""), Ok(Vec::new()));
        assert_eq!(hosts("a.example, b"), Ok(vec!["a.example".to_owned(), "b".to_owned()]));
        assert!(hosts("a.example:80").is_err() && hosts("a,,b").is_err());
        assert!(nets("").unwrap().is_empty());
        assert!(nets("10.0.0.0/8,::1").unwrap().lists([10, 1, 1, 1].into()));
        let fault = nets("10.0.0.0/8,proxy").unwrap_err();
        assert!(fault.contains("10.0.0.0/8") && fault.ends_with("proxy is neither"), "{fault}");
    }
}
