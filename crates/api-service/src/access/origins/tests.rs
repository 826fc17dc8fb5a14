//! The rules of an API without keys, request by request.

use axum::http::Version;
use axum::http::request::Builder;

use super::*;
use crate::access::client::Peer;

/// The origins of an API without keys.
fn without_keys(address: &str, hosts: &[&str], proxies: &str) -> Origins {
    let allowed_hosts = hosts.iter().map(|host| (*host).into()).collect();
    let trusted_proxies = proxies.parse().unwrap();
    let api = ApiSettings { allowed_hosts, trusted_proxies, ..ApiSettings::default() };
    Origins::new(&api, address.parse().unwrap())
}

fn request(headers: &[(&str, &str)]) -> Builder {
    let local = Peer([127, 0, 0, 1].into());
    let request = Request::builder().method("POST").uri("/jobs").extension(local);
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}

/// The code of the refusal; empty where the request passes.
fn code(origins: &Origins, request: Builder) -> &'static str {
    origins
        .check(&request.body(()).unwrap())
        .map_or_else(|problem| problem.code().as_str(), |()| "")
}

#[test]
fn without_keys_a_loopback_port_answers_to_names_of_this_machine_only() {
    let origins = without_keys("127.0.0.1:3000", &["Jobs.example"], "");
    for own in [
        "localhost",
        "LOCALHOST:3000",
        "127.0.0.1:3000",
        "127.9.9.9",
        "[::1]:3000",
        "jobs.example",
        "JOBS.example:80",
        "jobs.example.:80",
        "localhost.:3000",
    ] {
        assert_eq!(code(&origins, request(&[("host", own)])), "", "{own}");
    }
    for other in ["evil.example", "localhost.evil.example:3000", "10.0.0.1", "[fe80::1]", "", "api"]
    {
        assert_eq!(code(&origins, request(&[("host", other)])), "host_not_allowed", "{other}");
    }
    let old = request(&[]).version(Version::HTTP_10);
    assert_eq!(code(&origins, old), "", "HTTP/1.0, and no browser");
    let target = request(&[("host", "localhost")]).uri("http://evil.example/jobs");
    assert_eq!(code(&origins, target), "host_not_allowed", "the target's host counts more");
}

#[test]
fn without_keys_a_public_port_refuses_pages_whose_name_was_made_to_point_to_it() {
    let public = |hosts: &[&str]| without_keys("0.0.0.0:3000", hosts, "");
    assert_eq!(code(&public(&[]), request(&[("host", "api:3000")])), "");
    assert_eq!(code(&public(&[]), request(&[("host", "jobs.example")])), "", "no page");
    let rebound = [("host", "evil.example:3000"), ("origin", "http://evil.example:3000")];
    assert_eq!(code(&public(&[]), request(&rebound)), "origin_not_allowed");
    assert_eq!(code(&public(&["evil.example"]), request(&rebound)), "");
    let named = without_keys("10.0.0.1:3000", &["api"], "");
    assert_eq!(code(&named, request(&[("host", "evil.example")])), "host_not_allowed");
}

#[test]
fn without_keys_a_public_port_is_read_under_names_that_no_page_can_have() {
    let read = |hosts: &[&str], host: &str| {
        let request = request(&[("host", host)]).method("GET").uri("/metrics");
        code(&without_keys("0.0.0.0:3000", hosts, ""), request)
    };
    for local in ["api:3000", "10.0.0.5:3000", "localhost", "[fd00::5]:3000", "jobs.internal"] {
        assert_eq!(read(&[], local), "", "{local}");
    }
    // A page under this name reads without an Origin, and over plain HTTP without Sec-Fetch-Site.
    assert_eq!(read(&[], "evil.example:3000"), "host_not_allowed");
    assert_eq!(read(&["jobs.example"], "jobs.example"), "");
}

#[test]
fn without_keys_pages_of_other_origins_are_refused() {
    for address in ["127.0.0.1:3000", "0.0.0.0:3000"] {
        let origins = without_keys(address, &[], "");
        for (name, value, is_ok) in [
            ("origin", "http://localhost:3000", true),
            ("origin", "HTTP://LOCALHOST:3000", true),
            ("origin", "http://localhost:8080", false),
            ("origin", "http://evil.example", false),
            ("origin", "null", false),
            ("origin", "", false),
            ("sec-fetch-site", "same-origin", true),
            ("sec-fetch-site", "none", true),
            ("sec-fetch-site", "same-site", false),
            ("sec-fetch-site", "cross-site", false),
        ] {
            let request = request(&[("host", "localhost:3000"), (name, value)]);
            let expected = if is_ok { "" } else { "origin_not_allowed" };
            assert_eq!(code(&origins, request), expected, "{name}: {value}");
        }
    }
}

#[test]
fn without_keys_a_proxy_that_nobody_has_named_is_refused() {
    for address in ["127.0.0.1:3000", "0.0.0.0:3000"] {
        for proxies in ["", "10.0.0.9"] {
            let origins = without_keys(address, &["jobs.example"], proxies);
            for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"] {
                let request = request(&[("host", "127.0.0.1:3000"), (name, "jobs.example")]);
                assert_eq!(code(&origins, request), "proxy_not_trusted", "{name}");
            }
            let nginx = request(&[("host", "127.0.0.1:3000"), ("connection", "close")]);
            assert_eq!(code(&origins, nginx.version(Version::HTTP_10)), "proxy_not_trusted");
        }
    }
}

#[test]
fn behind_a_trusted_proxy_the_name_that_the_client_used_is_judged() {
    let origins = without_keys("127.0.0.1:3000", &["jobs.example"], "127.0.0.1");
    let own = ("host", "127.0.0.1:3000");
    for (header, expected) in [
        (("x-forwarded-host", "jobs.example"), ""),
        (("x-forwarded-host", "localhost:8080"), ""),
        (("forwarded", "for=192.0.2.9;host=jobs.example"), ""),
        (("x-forwarded-host", "evil.example"), "host_not_allowed"),
        (("forwarded", "host=\"evil.example:80\""), "host_not_allowed"),
        // A page may write the first, and a proxy that adds its own leaves it there.
        (("x-forwarded-host", "jobs.example, evil.example"), "host_not_allowed"),
        (("x-forwarded-for", "192.0.2.9"), "proxy_tells_no_name"),
    ] {
        assert_eq!(code(&origins, request(&[own, header])), expected, "{header:?}");
    }
    let passed_on = [("host", "jobs.example"), ("x-forwarded-for", "192.0.2.9")];
    assert_eq!(code(&origins, request(&passed_on)), "");
    let page = [own, ("x-forwarded-host", "jobs.example"), ("origin", "https://jobs.example")];
    assert_eq!(code(&origins, request(&page)), "");
    let other = [own, ("x-forwarded-host", "jobs.example"), ("origin", "https://evil.example")];
    assert_eq!(code(&origins, request(&other)), "origin_not_allowed");
    let nginx = request(&[own, ("connection", "close")]).version(Version::HTTP_10);
    assert_eq!(code(&origins, nginx), "proxy_tells_no_name");
}

#[test]
fn behind_a_trusted_proxy_that_passes_host_on_the_page_cannot_tell_another_name() {
    for (address, hosts) in
        [("127.0.0.1:3000", &["jobs.example"] as &[&str]), ("0.0.0.0:3000", &[])]
    {
        let origins = without_keys(address, hosts, "127.0.0.1");
        for told in [("x-forwarded-host", "localhost"), ("forwarded", "host=localhost")] {
            // The page's name was made to point to the proxy, whose nginx has `Host $host`.
            let rebound = request(&[("host", "evil.example"), told]).method("GET");
            assert_eq!(code(&origins, rebound), "host_not_allowed", "{address} {told:?}");
            // A proxy's own name for the API, such as that of a container.
            for own in ["api:3000", "10.0.0.5:3000", "localhost:3000"] {
                assert_eq!(code(&origins, request(&[("host", own), told]).method("GET")), "");
            }
        }
    }
}
