//! The header `Prefer: wait=N`, with which a client shortens the time that its request may take.

use std::time::Duration;

use axum::http::HeaderMap;
use tokio::time::Instant;

/// The time by which a request that begins now must have ended: after `limit`, or earlier where the
/// client prefers to wait less.
pub(crate) fn deadline(headers: &HeaderMap, limit: Duration) -> Instant {
    Instant::now() + preferred_wait(headers).filter(|wait| *wait <= limit).unwrap_or(limit)
}

/// The seconds of `Prefer: wait=N` (RFC 7240, section 4.3); `None` where the preference is missing,
/// malformed or 0. Other preferences may stand beside it; of several waits the first counts.
fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let preferences = headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let wait = preferences.filter_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"'))
    });
    let seconds: u32 = wait.map(str::parse).next()?.ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preferred_wait_is_read_as_rfc_7240_defines_it() {
        for (values, expected) in [
            (&["wait=5"][..], Some(5)),
            (&["respond-async, WAIT = 10"], Some(10)),
            (&["return=minimal", "wait=7; x=1"], Some(7)),
            (&["wait=3, wait=9"], Some(3)),
            (&["wait=\"4\""], Some(4)),
            (&["wait=0"], None),
            (&["wait=-1"], None),
            (&["wait=1.5"], None),
            (&["wait"], None),
            (&["waiting=5"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("prefer", value.parse().unwrap());
            }
            assert_eq!(preferred_wait(&headers), expected.map(Duration::from_secs), "{values:?}");
        }
    }
}
