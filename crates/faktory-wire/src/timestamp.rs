//! Points in time: RFC 3339 text on the wire, microseconds in memory.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in time, in microseconds since 1970-01-01 UTC. Every year of RFC 3339 fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// A text that is not an RFC 3339 time with a time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time with a zone, such as 2026-01-02T03:04:05Z")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// The time of the system's wall clock.
    #[must_use]
    pub fn now() -> Self {
        Self(Utc::now().timestamp_micros())
    }

    /// The time that lies so many microseconds after 1970-01-01 UTC.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Reads a time from RFC 3339 text.
    ///
    /// # Errors
    /// Where the text is not RFC 3339, or has no time zone.
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        DateTime::parse_from_rfc3339(text)
            .map(|time| Self(time.timestamp_micros()))
            .map_err(|_| InvalidTimestamp)
    }

    /// The time that is later by `duration`, or the last time that can be represented.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The time that has passed since `earlier`; zero where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The time of day in UTC, in the form of INFO: `HH:MM:SS UTC`.
    #[must_use]
    pub fn time_of_day(self) -> String {
        self.utc().format("%H:%M:%S UTC").to_string()
    }

    fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or(if self.0 < 0 {
            DateTime::<Utc>::MIN_UTC
        } else {
            DateTime::<Utc>::MAX_UTC
        })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_microseconds_agree() {
        let time = Timestamp::parse("2026-01-02T03:04:05.000006Z").unwrap();
        assert_eq!(time.to_string(), "2026-01-02T03:04:05.000006Z");
        assert_eq!(Timestamp::parse("2026-01-02T04:04:05.000006+01:00").unwrap(), time);
        assert_eq!(time.time_of_day(), "03:04:05 UTC");
        assert_eq!(
            Timestamp::parse("9999-12-31T23:59:59Z").unwrap().to_string(),
            "9999-12-31T23:59:59.000000Z"
        );
    }

    #[test]
    fn a_time_without_a_zone_is_refused() {
        assert_eq!(Timestamp::parse("2026-01-02T03:04:05"), Err(InvalidTimestamp));
        assert_eq!(Timestamp::parse("tomorrow"), Err(InvalidTimestamp));
    }

    #[test]
    fn arithmetic_stays_in_range() {
        let end = Timestamp::from_micros(i64::MAX);
        assert_eq!(end.plus(Duration::MAX), end);
        assert_eq!(Timestamp::from_micros(5).since(end), Duration::ZERO);
        assert!(!end.to_string().is_empty());
    }
}
