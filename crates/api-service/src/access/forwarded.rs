//! What proxies write into a request: `Forwarded` (RFC 7239), `X-Forwarded-…`, `X-Real-IP` and
//! `Via`. Here the headers are only read; whether they are believed is decided in `client.rs` and
//! `origins.rs`.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Request, Version, header};

/// The addresses that clients and proxies had, the nearest last; `None` for what is no address.
type Nodes = Vec<Option<IpAddr>>;

/// True for a request that shows signs of a proxy.
pub(super) fn is_proxied<B>(request: &Request<B>) -> bool {
    let is_of_proxy = |name: &str| {
        matches!(name, "forwarded" | "via" | "x-real-ip") || name.starts_with("x-forwarded-")
    };
    request.headers().keys().any(|name| is_of_proxy(name.as_str())) || is_as_by_nginx(request)
}

/// True for HTTP/1.0 with `Connection: close`, which says nothing there and is therefore sent by
/// hardly any client. nginx before 1.29.7 (March 2026) sends it where nothing else is configured,
/// and names the API's own address as `Host`.
fn is_as_by_nginx<B>(request: &Request<B>) -> bool {
    let closes = || {
        let values = request.headers().get_all(header::CONNECTION).into_iter();
        values
            .flat_map(|value| value.to_str())
            .flat_map(|value| value.split(','))
            .any(|option| option.trim().eq_ignore_ascii_case("close"))
    };
    request.version() < Version::HTTP_11 && closes()
}

/// The addresses in `X-Forwarded-For`; `None` without that header.
pub(super) fn listed_clients(headers: &HeaderMap) -> Option<Nodes> {
    let list = joined(headers, "x-forwarded-for")?;
    Some(list.split(',').map(address).collect())
}

/// The addresses in `Forwarded`; `None` without that header.
pub(super) fn clients(headers: &HeaderMap) -> Option<Nodes> {
    let text = joined(headers, "forwarded")?;
    let elements = split(&text, ',').into_iter();
    Some(elements.map(|element| address(&parameter(element, "for")?)).collect())
}

/// The host names in `X-Forwarded-Host` and in `Forwarded`, in lower case.
pub(super) fn hosts(headers: &HeaderMap) -> Vec<String> {
    let listed = joined(headers, "x-forwarded-host").unwrap_or_default();
    let mut hosts: Vec<String> = listed.split(',').map(|host| host.trim().to_owned()).collect();
    let text = joined(headers, "forwarded").unwrap_or_default();
    hosts.extend(split(&text, ',').into_iter().filter_map(|element| parameter(element, "host")));
    hosts.retain(|host| !host.is_empty());
    hosts.iter_mut().for_each(|host| host.make_ascii_lowercase());
    hosts
}

/// The values of a header that is a list; `None` without the header.
fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<_> = headers
        .get_all(name)
        .into_iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// The parts of a text between separators that stand outside of quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(|character| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match character {
            '"' if !was_escaped => is_quoted = !is_quoted,
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            _ => {}
        }
        character == separator && !is_quoted
    })
    .collect()
}

/// The value of a parameter in one element of `Forwarded`, without quotes.
fn parameter(element: &str, name: &str) -> Option<String> {
    split(element, ';').into_iter().find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim();
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        key.trim().eq_ignore_ascii_case(name).then(|| match bare {
            Some(quoted) => quoted.replace('\\', ""),
            None => value.to_owned(),
        })
    })
}

/// The address of `address`, `address:port`, `[address]` or `[address]:port`.
fn address(node: &str) -> Option<IpAddr> {
    let node = node.trim();
    let with_port = || node.parse().ok().map(|address: SocketAddr| address.ip());
    let bracketed = || node.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    node.parse().ok().or_else(with_port).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_proxied_with(version: Version, name: &str, value: &str) -> bool {
        is_proxied(&Request::builder().version(version).header(name, value).body(()).unwrap())
    }

    #[test]
    fn each_header_of_a_proxy_is_a_sign_and_so_is_nginx_without_configuration() {
        for name in [
            "forwarded",
            "via",
            "x-real-ip",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded-port",
            "x-forwarded-server",
        ] {
            assert!(is_proxied_with(Version::HTTP_11, name, "x"), "{name}");
        }
        assert!(is_proxied_with(Version::HTTP_10, "connection", "close"));
        assert!(!is_proxied_with(Version::HTTP_11, "connection", "close"));
        assert!(!is_proxied_with(Version::HTTP_10, "connection", "keep-alive"));
        assert!(!is_proxied_with(Version::HTTP_10, "host", "localhost"));
    }

    #[test]
    fn host_names_are_read_from_both_headers() {
        let headers = HeaderMap::from_iter([
            (
                header::FORWARDED,
                r#"for=a;host="Jobs.example:80";by=x, host=other"#.parse().unwrap(),
            ),
            ("x-forwarded-host".parse().unwrap(), "one.example, TWO.example:3000".parse().unwrap()),
        ]);
        let expected = ["one.example", "two.example:3000", "jobs.example:80", "other"];
        assert_eq!(hosts(&headers), expected);
        assert!(hosts(&HeaderMap::new()).is_empty());
    }
}
