//! The address of the client that sends a request: that of the connection, or behind proxies that
//! are trusted the one that they tell.

use std::net::{IpAddr, Ipv4Addr};

use admission::Nets;
use axum::http::Request;

use super::forwarded;

/// The address at the other end of a request's connection; an extension of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The address of the connection.
pub(super) fn peer<B>(request: &Request<B>) -> IpAddr {
    // Every connection of the server sets it; the unspecified address is trusted by nobody.
    request.extensions().get().map_or(Ipv4Addr::UNSPECIFIED.into(), |Peer(address)| *address)
}

/// The address of the client. Without trusted proxies, what headers say counts for nothing.
pub(crate) fn address<B>(request: &Request<B>, proxies: &Nets) -> IpAddr {
    let peer = peer(request);
    if !proxies.lists(peer) {
        return peer;
    }
    let headers = request.headers();
    let by_list = forwarded::listed_clients(headers).map(|nodes| walk(peer, &nodes, proxies));
    let by_rfc = forwarded::clients(headers).map(|nodes| walk(peer, &nodes, proxies));
    match (by_list, by_rfc) {
        // A proxy writes one of the two and passes on the other as its client sent it; which one
        // is not known.
        (Some(one), Some(other)) if one != other => peer,
        (Some(address), _) | (None, Some(address)) => address,
        (None, None) => peer,
    }
}

/// Goes from proxy to proxy towards the client, as far as proxies are trusted: each has written the
/// last of the addresses that are left.
fn walk(peer: IpAddr, nodes: &[Option<IpAddr>], proxies: &Nets) -> IpAddr {
    let mut nearest = peer;
    for node in nodes.iter().rev() {
        match node {
            Some(address) if proxies.lists(nearest) => nearest = *address,
            Some(_) | None => break,
        }
    }
    nearest.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, headers: &[(&str, &str)], proxies: &str) -> String {
        let mut request = Request::builder().extension(Peer(peer.parse().unwrap()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        address(&request.body(()).unwrap(), &proxies.parse().unwrap()).to_string()
    }

    #[test]
    fn without_a_trusted_proxy_the_connections_address_counts() {
        let headers = [("x-forwarded-for", "192.0.2.9"), ("forwarded", "for=192.0.2.9")];
        assert_eq!(from("127.0.0.1", &headers, ""), "127.0.0.1");
        assert_eq!(from("192.0.2.1", &headers, "127.0.0.1"), "192.0.2.1");
        assert_eq!(from("127.0.0.1", &[], "127.0.0.1"), "127.0.0.1");
    }

    #[test]
    fn behind_trusted_proxies_the_last_address_that_none_of_them_has_is_the_client() {
        let proxies = "127.0.0.1,10.0.0.0/8";
        for (list, expected) in [
            ("192.0.2.9", "192.0.2.9"),
            ("1.2.3.4, 192.0.2.9", "192.0.2.9"),
            ("1.2.3.4, 192.0.2.9, 10.0.0.7", "192.0.2.9"),
            ("10.0.0.6,10.0.0.7", "10.0.0.6"),
            ("192.0.2.9, nonsense, 10.0.0.7", "10.0.0.7"),
            ("nonsense", "127.0.0.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("192.0.2.9:4711", "192.0.2.9"),
            ("", "127.0.0.1"),
        ] {
            assert_eq!(
                from("127.0.0.1", &[("x-forwarded-for", list)], proxies),
                expected,
                "{list}"
            );
        }
        let twice = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "192.0.2.9")];
        assert_eq!(from("::ffff:127.0.0.1", &twice, proxies), "192.0.2.9");
        let rfc = [("forwarded", r#"for=1.2.3.4;by="a,b", For="[2001:db8::1]:80";proto=http"#)];
        assert_eq!(from("127.0.0.1", &rfc, proxies), "2001:db8::1");
    }

    #[test]
    fn headers_that_contradict_each_other_are_not_believed() {
        let proxies = "127.0.0.1";
        let same = [("x-forwarded-for", "192.0.2.9"), ("forwarded", "for=192.0.2.9")];
        assert_eq!(from("127.0.0.1", &same, proxies), "192.0.2.9");
        let differ = [("x-forwarded-for", "192.0.2.9"), ("forwarded", "for=192.0.2.8")];
        assert_eq!(from("127.0.0.1", &differ, proxies), "127.0.0.1");
    }
}
