//! The host that a request is sent to (RFC 9112, section 3.2).

use std::net::Ipv6Addr;

use axum::http::uri::Authority;
use axum::http::{Request, Version, header};

use crate::problem::{Code, Problem};

/// The host and port that a request names, in lower case: those of its target where it has them,
/// or else those of `Host`. `None` for HTTP/1.0 without either.
///
/// # Errors
/// Where there is more than one `Host`, none in HTTP/1.1, or one that is no host. Two parts of a
/// system could read such a request in two ways.
pub(crate) fn of<B>(request: &Request<B>) -> Result<Option<String>, Problem> {
    let mut values = request.headers().get_all(header::HOST).into_iter();
    let host = match (values.next(), values.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => Some(host.as_bytes()),
        (Some(_), None) => return Err(invalid("the header Host is no host name")),
        (Some(_), Some(_)) => return Err(invalid("the header Host stands there more than once")),
        (None, _) if request.version() >= Version::HTTP_11 => {
            return Err(invalid("the header Host is missing"));
        }
        (None, _) => None,
    };
    let target = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    if target.is_some_and(|target| !is_host(target)) {
        return Err(invalid("the target of the request names no host"));
    }
    Ok(target.or(host).map(|host| String::from_utf8_lossy(host).to_ascii_lowercase()))
}

fn invalid(what: &str) -> Problem {
    let detail = format!("{what}; HTTP/1.1 asks for one: Host: name, or Host: name:port");
    Problem::new(Code::InvalidHost, detail)
}

/// True for an empty text (the target has no host), and for a host with or without a port.
fn is_host(text: &[u8]) -> bool {
    let is_authority = !text.contains(&b'@') && Authority::try_from(text).is_ok();
    text.is_empty() || is_authority && std::str::from_utf8(text).is_ok_and(has_host_and_port)
}

/// True for `host`, `host:port`, `[address]` and `[address]:port`. The port may be empty (RFC 3986,
/// 3.2.3).
fn has_host_and_port(text: &str) -> bool {
    let port = match text.strip_prefix('[') {
        None => text.split_once(':').map(|(_, port)| port),
        Some(rest) => match rest.split_once(']') {
            Some((address, _)) if address.parse::<Ipv6Addr>().is_err() => return false,
            Some((_, "")) => None,
            Some((_, after)) if after.starts_with(':') => after.get(1..),
            _ => return false,
        },
    };
    let is_number = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && (port.is_empty() || port.parse::<u16>().is_ok())
    };
    port.is_none_or(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(version: Version, target: &str, hosts: &[&str]) -> Result<Option<String>, ()> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        of(&request.body(()).unwrap()).map_err(|_| ())
    }

    #[test]
    fn http_1_1_has_one_host_and_the_targets_own_counts_more() {
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        assert_eq!(host(new, "/", &["LOCALHOST:3000"]), Ok(Some("localhost:3000".into())));
        assert_eq!(host(new, "/", &[""]), Ok(Some(String::new())));
        assert_eq!(host(old, "/", &[]), Ok(None));
        for good in ["[::1]", "[::1]:3000", "localhost.:3000", "localhost:", "10.0.0.1:65535"] {
            assert_eq!(host(new, "/", &[good]), Ok(Some(good.into())));
        }
        let target = "http://Evil.example:80/jobs";
        assert_eq!(host(new, target, &["localhost"]), Ok(Some("evil.example:80".into())));
        assert_eq!(host(old, target, &[]), Ok(Some("evil.example:80".into())));
        for (version, target, hosts) in [
            (new, "/", &[] as &[&str]),
            (new, target, &[]),
            (new, "/", &["localhost", "localhost"]),
            (old, "/", &["localhost", "evil.example"]),
            (new, "/", &["local host"]),
            (new, "/", &["localhost@evil.example"]),
            (new, "/", &["localhost/x"]),
            (new, "/", &["localhost:abc"]),
            (new, "/", &["localhost:99999"]),
            (new, "/", &["localhost:+80"]),
            (new, "/", &["localhost:80:80"]),
            (new, "/", &["[::1].evil.example"]),
            (new, "/", &["[::1]x:80"]),
            (new, "/", &["[::1]:x"]),
            (new, "/", &["[evil]"]),
            (new, "http://[::1].evil.example/", &["localhost"]),
            (new, "http://localhost@evil.example/", &["localhost"]),
        ] {
            assert_eq!(host(version, target, hosts), Err(()), "{version:?} {target} {hosts:?}");
        }
    }
}
