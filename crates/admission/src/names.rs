//! Names under which a server is reached, in lower case, with or without a port: which of them
//! nobody outside of this network can own. The owner of any other name can make it point here, so
//! that a page under that name reads what it should not (DNS rebinding).

use std::net::IpAddr;

/// The name in `name:port`, without the brackets of an IPv6 address and without a dot at its end
/// (RFC 1034, 3.1: `localhost.` is `localhost`). Empty where something other than a port follows
/// the brackets.
#[must_use]
pub fn host_name(authority: &str) -> &str {
    let name = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, after)) if after.is_empty() || after.starts_with(':') => name,
            _ => "",
        },
        None => authority.split(':').next().unwrap_or_default(),
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// True for `localhost` and the loopback addresses.
#[must_use]
pub fn is_loopback_name(authority: &str) -> bool {
    let name = host_name(authority);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// True for a name that nobody outside of this network can make point to this machine: an address,
/// a name without a dot, such as `api` in a network of containers, and names below the domains that
/// nobody can register (RFC 6761, RFC 6762, RFC 8375, and `internal` by ICANN in 2024).
#[must_use]
pub fn is_local_name(authority: &str) -> bool {
    const DOMAINS: [&str; 4] = [".localhost", ".local", ".internal", ".home.arpa"];
    let name = host_name(authority);
    name.parse::<IpAddr>().is_ok()
        || !name.is_empty() && !name.contains('.')
        || DOMAINS.iter().any(|domain| name.ends_with(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_outside_can_own() {
        for own in [
            "localhost:80",
            "localhost.",
            "localhost.:80",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]:3000",
        ] {
            assert!(is_loopback_name(own), "{own}");
        }
        assert!(!is_loopback_name("localhost.evil.example") && !is_loopback_name("10.0.0.5"));
        for local in [
            "10.0.0.5:3000",
            "[fe80::1]:80",
            "localhost",
            "api:3000",
            "host.docker.internal",
            "a.local",
            "a.local.:80",
        ] {
            assert!(is_local_name(local), "{local}");
        }
        for other in [
            "",
            ":3000",
            "evil.example",
            "evil.example.",
            "[::1].evil.example",
            "[::1",
            "internal.evil.example:80",
            "api.internal.evil.example",
            "a.local.evil.example.",
            "10.0.0.5.evil.example",
        ] {
            assert!(!is_local_name(other), "{other}");
        }
    }
}
