//! Who may do what: keys with scopes where there are any, and where there are none, at least no
//! page of a browser that its user has open beside us.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use service_runtime::{Keys, Scope, Watched};

use crate::body;
use crate::problem::{Code, Problem};
use crate::state::SharedState;

/// Who is let in.
#[derive(Debug, Clone, Default)]
pub struct AccessConfig {
    /// The keys, and the file that they are read from again when it changes. Without, everybody may
    /// do everything.
    pub keys: Option<(PathBuf, Keys)>,
    /// Names under which the API is reached, beside those of this machine's loopback addresses.
    /// They matter where there are no keys.
    pub hosts: Vec<String>,
}

/// What requests are held against.
#[derive(Debug)]
pub(crate) struct Access {
    keys: Option<RwLock<Arc<Keys>>>,
    /// The names that are accepted in `Host`; any where `None`.
    hosts: Option<Vec<String>>,
}

impl Access {
    /// For an API that listens there.
    pub(crate) fn new(config: &AccessConfig, address: SocketAddr) -> Self {
        let keys = config.keys.as_ref().map(|(_, keys)| RwLock::new(Arc::new(keys.clone())));
        // What listens for others has names that we can't know, unless we are told.
        let checks_hosts = address.ip().is_loopback() || !config.hosts.is_empty();
        let hosts = (keys.is_none() && checks_hosts)
            .then(|| config.hosts.iter().map(|host| host.to_ascii_lowercase()).collect());
        Self { keys, hosts }
    }

    fn keys(&self) -> Option<Arc<Keys>> {
        Some(Arc::clone(&self.keys.as_ref()?.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The way in for who has this scope.
    fn check(&self, headers: &HeaderMap, scope: Scope) -> Result<(), Refused> {
        let Some(keys) = self.keys() else { return Ok(()) };
        let Some(presented) = presented(headers) else { return Err(Refused::NoKey) };
        match keys.find(presented) {
            Some(key) if key.scopes.contains(&scope) => Ok(()),
            Some(key) => Err(Refused::NotFor(key.name.clone(), scope)),
            None => Err(Refused::UnknownKey),
        }
    }

    /// Whether this is a page of a browser that asks for something that is not its own.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.keys.is_some() {
            // A page has no key.
            return Ok(());
        }
        let text = |value: &HeaderValue| {
            value.to_str().map_or_else(|_| String::new(), str::to_ascii_lowercase)
        };
        let host = headers.get(header::HOST).map(text);
        if let (Some(hosts), Some(host)) = (&self.hosts, &host)
            && !is_ours(host, hosts)
        {
            // A name that its owner has just made to point here, so that his page may read our
            // answers (DNS rebinding).
            let detail = "this API has no keys (API_KEYS_FILE), so it answers only to the names \
                          of this machine, such as localhost, and to those in API_ALLOWED_HOSTS";
            return Err(Problem::new(Code::HostNotAllowed, detail));
        }
        if let Some(origin) = headers.get(header::ORIGIN).map(text)
            && (origin.split_once("://").map(|(_, authority)| authority) != host.as_deref()
                || self.hosts.is_none() && !host.as_deref().is_some_and(is_address))
        {
            let detail = "this API has no keys (API_KEYS_FILE), so it takes nothing from pages of \
                          other origins";
            return Err(Problem::new(Code::OriginNotAllowed, detail));
        }
        Ok(())
    }
}

/// True for an address, which no page can have made to point here, and for this machine's own name.
fn is_address(authority: &str) -> bool {
    let host = host_of(authority);
    host == "localhost" || host.parse::<IpAddr>().is_ok()
}

fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// True for this machine's own names, and for those that are named.
fn is_ours(authority: &str, named: &[String]) -> bool {
    let host = host_of(authority);
    let is_loopback = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_loopback || host == "localhost" || named.iter().any(|named| named == host)
}

/// The key of `Authorization: Bearer KEY` (RFC 6750).
fn presented(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim()).filter(|key| !key.is_empty())
}

/// Why a request is not let in.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    NoKey,
    UnknownKey,
    NotFor(String, Scope),
}

impl Refused {
    fn problem(&self) -> Problem {
        match self {
            Self::NoKey => {
                Problem::new(Code::KeyMissing, "send a key: the header Authorization: Bearer KEY")
            }
            Self::UnknownKey => Problem::new(
                Code::KeyUnknown,
                "the key is not one of those that this API knows (API_KEYS_FILE)",
            ),
            Self::NotFor(name, scope) => Problem::new(
                Code::ScopeMissing,
                format!("this needs a key with the scope {scope}; the key {name} has not got it"),
            ),
        }
    }

    /// RFC 6750, section 3.
    fn challenge(&self) -> String {
        match self {
            Self::NoKey => r#"Bearer realm="work-factory""#.into(),
            Self::UnknownKey => r#"Bearer realm="work-factory", error="invalid_token""#.into(),
            Self::NotFor(_, scope) => format!(
                r#"Bearer realm="work-factory", error="insufficient_scope", scope="{scope}""#
            ),
        }
    }
}

/// The layer of routes that need a scope.
pub(crate) async fn layer(
    Extract((state, scope)): Extract<(SharedState, Scope)>,
    request: Request,
    next: Next,
) -> Response {
    let Err(refused) = state.access.check(request.headers(), scope) else {
        return next.run(request).await;
    };
    tracing::debug!(?refused, path = request.uri().path(), "a request is not let in");
    let mut response = body::refuse(request, refused.problem()).await.into_response();
    if let Ok(challenge) = HeaderValue::from_str(&refused.challenge()) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The layer that keeps pages of other origins out, of all routes but those for health:
/// orchestrators ask there under names of their own.
pub(crate) async fn origin_layer(
    Extract(state): Extract<SharedState>,
    request: Request,
    next: Next,
) -> Response {
    match state.access.check_origin(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => body::refuse(request, problem).await.into_response(),
    }
}

/// Reads the keys again when their file changes. A file that can't be used changes nothing, and is
/// told.
pub(crate) async fn reload(state: SharedState) {
    let (Some((path, _)), Some(keys)) = (&state.config.access.keys, &state.access.keys) else {
        return;
    };
    let mut watched = Watched::new([path.as_path()]);
    loop {
        let read = match watched.changed().await.first() {
            Some(Ok(bytes)) => {
                std::str::from_utf8(bytes).map_err(|error| error.to_string()).and_then(Keys::parse)
            }
            Some(Err(why)) => Err(why.clone()),
            None => return,
        };
        match read {
            Ok(read) => {
                let mut current = keys.write().unwrap_or_else(PoisonError::into_inner);
                if **current != read {
                    if read.is_empty() {
                        tracing::warn!("no key is left: nobody is let in (API_KEYS_FILE)");
                    } else {
                        tracing::info!(keys = read.len(), "the keys have changed (API_KEYS_FILE)");
                    }
                    *current = Arc::new(read);
                }
            }
            Err(why) => {
                tracing::error!(%why, "failed to read the keys again (API_KEYS_FILE); those from before count")
            }
        }
    }
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

    fn open(address: &str, hosts: &[&str]) -> Access {
        let hosts = hosts.iter().map(|host| (*host).into()).collect();
        Access::new(&AccessConfig { keys: None, hosts }, address.parse().unwrap())
    }

    #[test]
    fn without_keys_a_loopback_port_answers_to_names_of_this_machine_only() {
        let access = open("127.0.0.1:3000", &["Jobs.example"]);
        for ours in [
            "localhost",
            "LOCALHOST:3000",
            "127.0.0.1:3000",
            "127.9.9.9",
            "[::1]:3000",
            "jobs.example",
            "JOBS.example:80",
        ] {
            assert!(access.check_origin(&headers(&[("host", ours)])).is_ok(), "{ours}");
        }
        for other in
            ["evil.example", "localhost.evil.example:3000", "10.0.0.1", "[fe80::1]", "", ":3000"]
        {
            assert!(access.check_origin(&headers(&[("host", other)])).is_err(), "{other}");
        }
        assert!(access.check_origin(&headers(&[])).is_ok(), "HTTP/1.0, and no browser");
        assert!(open("10.0.0.1:3000", &[]).check_origin(&headers(&[("host", "api:3000")])).is_ok());
        let rebound =
            headers(&[("host", "evil.example:3000"), ("origin", "http://evil.example:3000")]);
        assert!(
            open("0.0.0.0:3000", &[]).check_origin(&rebound).is_err(),
            "a name made to point here"
        );
        assert!(open("0.0.0.0:3000", &["evil.example"]).check_origin(&rebound).is_ok());
        assert!(
            open("10.0.0.1:3000", &["api"])
                .check_origin(&headers(&[("host", "evil.example")]))
                .is_err()
        );
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
            for access in [open("127.0.0.1:3000", &[]), open("0.0.0.0:3000", &[])] {
                let checked = access
                    .check_origin(&headers(&[("host", "localhost:3000"), ("origin", origin)]));
                assert_eq!(checked.is_ok(), is_ok, "{origin}");
            }
        }
    }

    #[test]
    fn a_key_is_taken_from_the_header_that_rfc_6750_names() {
        for (value, expected) in [
            ("Bearer wf_a", Some("wf_a")),
            ("bearer  wf_a ", Some("wf_a")),
            ("Basic wf_a", None),
            ("wf_a", None),
            ("Bearer ", None),
        ] {
            assert_eq!(presented(&headers(&[("authorization", value)])), expected, "{value}");
        }
    }
}
