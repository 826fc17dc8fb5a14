//! The protection of an API without keys against web pages that a browser on the same network has
//! open: which values of `Host` and `Origin` are accepted.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderValue, header};
use service_runtime::ApiSettings;

use crate::problem::{Code, Problem};

/// The accepted origins.
#[derive(Debug)]
pub(crate) enum Origins {
    /// Every origin: the API has keys, and a page has no key.
    Any,
    /// The origin of the API itself.
    Own {
        /// The names accepted in `Host` beside those of the loopback addresses; any name where
        /// `None`.
        hosts: Option<Vec<String>>,
    },
}

impl Origins {
    /// The origins for an API that listens on this address.
    pub(crate) fn new(config: &ApiSettings, address: SocketAddr) -> Self {
        if config.keys.is_some() {
            return Self::Any;
        }
        // An address that other machines reach has names that only the configuration knows.
        let checks_hosts = address.ip().is_loopback() || !config.allowed_hosts.is_empty();
        let hosts = checks_hosts
            .then(|| config.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect());
        Self::Own { hosts }
    }

    /// Refuses a request to a foreign host name, and one from a page of another origin.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Self::Own { hosts } = self else { return Ok(()) };
        let text = |value: &HeaderValue| {
            value.to_str().map_or_else(|_| String::new(), str::to_ascii_lowercase)
        };
        let host = headers.get(header::HOST).map(text);
        if let (Some(hosts), Some(host)) = (hosts, &host)
            && !is_accepted(host, hosts)
        {
            // DNS rebinding: the owner of this name has made it point to this machine, so that a
            // page under the name may read the answers.
            let detail = "this API has no keys (API_KEYS_FILE), so it answers only to the names \
                          of this machine, such as localhost, and to those in API_ALLOWED_HOSTS";
            return Err(Problem::new(Code::HostNotAllowed, detail));
        }
        if let Some(origin) = headers.get(header::ORIGIN).map(text)
            && (origin.split_once("://").map(|(_, authority)| authority) != host.as_deref()
                || hosts.is_none() && !host.as_deref().is_some_and(is_address))
        {
            let detail = "this API has no keys (API_KEYS_FILE), so it takes nothing from pages of \
                          other origins";
            return Err(Problem::new(Code::OriginNotAllowed, detail));
        }
        Ok(())
    }
}

/// True for `localhost` and for addresses: nobody can make such a name point to another machine.
fn is_address(authority: &str) -> bool {
    let host = host_of(authority);
    host == "localhost" || host.parse::<IpAddr>().is_ok()
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// True for the loopback names of this machine, and for the configured names.
fn is_accepted(authority: &str, configured: &[String]) -> bool {
    let host = host_of(authority);
    let is_loopback = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_loopback || host == "localhost" || configured.iter().any(|configured| configured == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    /// The origins of an API without keys.
    fn without_keys(address: &str, hosts: &[&str]) -> Origins {
        let hosts = hosts.iter().map(|host| (*host).into()).collect();
        let api = ApiSettings { allowed_hosts: hosts, ..ApiSettings::default() };
        Origins::new(&api, address.parse().unwrap())
    }

    #[test]
    fn without_keys_a_loopback_port_answers_to_names_of_this_machine_only() {
        let origins = without_keys("127.0.0.1:3000", &["Jobs.example"]);
        for own in [
            "localhost",
            "LOCALHOST:3000",
            "127.0.0.1:3000",
            "127.9.9.9",
            "[::1]:3000",
            "jobs.example",
            "JOBS.example:80",
        ] {
            assert!(origins.check(&headers(&[("host", own)])).is_ok(), "{own}");
        }
        for other in
            ["evil.example", "localhost.evil.example:3000", "10.0.0.1", "[fe80::1]", "", ":3000"]
        {
            assert!(origins.check(&headers(&[("host", other)])).is_err(), "{other}");
        }
        assert!(origins.check(&headers(&[])).is_ok(), "HTTP/1.0, and no browser");
    }

    #[test]
    fn without_keys_a_public_port_refuses_pages_whose_name_was_made_to_point_to_it() {
        let any_host = without_keys("10.0.0.1:3000", &[]);
        assert!(any_host.check(&headers(&[("host", "api:3000")])).is_ok());
        let rebound =
            headers(&[("host", "evil.example:3000"), ("origin", "http://evil.example:3000")]);
        assert!(without_keys("0.0.0.0:3000", &[]).check(&rebound).is_err());
        assert!(without_keys("0.0.0.0:3000", &["evil.example"]).check(&rebound).is_ok());
        let named = without_keys("10.0.0.1:3000", &["api"]);
        assert!(named.check(&headers(&[("host", "evil.example")])).is_err());
    }

    #[test]
    fn without_keys_pages_of_other_origins_are_refused() {
        for (origin, is_ok) in [
            ("http://localhost:3000", true),
            ("HTTP://LOCALHOST:3000", true),
            ("http://localhost:8080", false),
            ("http://evil.example", false),
            ("null", false),
            ("", false),
        ] {
            for origins in [without_keys("127.0.0.1:3000", &[]), without_keys("0.0.0.0:3000", &[])]
            {
                let request = headers(&[("host", "localhost:3000"), ("origin", origin)]);
                assert_eq!(origins.check(&request).is_ok(), is_ok, "{origin}");
            }
        }
    }
}
