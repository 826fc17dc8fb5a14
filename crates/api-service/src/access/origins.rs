//! The protection of an API without keys against web pages that a browser on the same network has
//! open: which names and which origins are accepted. Behind a proxy the browser's own words are
//! lost, so a proxy must be known.

use std::net::SocketAddr;

use admission::{Nets, host_name, is_local_name, is_loopback_name};
use axum::http::{HeaderMap, Method, Request, header};
use service_runtime::ApiSettings;

use super::{client, forwarded, host};
use crate::problem::{Code, Problem};

/// The accepted origins.
#[derive(Debug)]
pub(crate) enum Origins {
    /// Every origin: the API has keys, and a page has no key.
    Any,
    /// The origin of the API itself.
    Own {
        /// The names accepted beside those of the loopback addresses; where `None`, any name to
        /// post to, and any that nobody outside of the network can own to read.
        hosts: Option<Vec<String>>,
        /// The proxies that are believed.
        proxies: Nets,
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
        let hosts =
            checks_hosts.then(|| config.allowed_hosts.iter().map(|host| allowed(host)).collect());
        Self::Own { hosts, proxies: config.trusted_proxies.clone() }
    }

    /// Refuses a request to a foreign host name, one from a page of another origin, and one that
    /// comes through a proxy that is not trusted, or that does not tell the name.
    pub(crate) fn check<B>(&self, request: &Request<B>) -> Result<(), Problem> {
        let Self::Own { hosts, proxies } = self else { return Ok(()) };
        let names = names(request, proxies)?;
        let accepted = hosts.as_deref();
        if names.iter().any(|name| !is_accepted(name, accepted, request.method())) {
            // DNS rebinding: the owner of this name has made it point to this machine, so that a
            // page under the name may read the answers.
            let detail = "this API has no keys (API_KEYS_FILE), so it answers only to the names \
                          of this machine, such as localhost, and to those in API_ALLOWED_HOSTS";
            return Err(Problem::new(Code::HostNotAllowed, detail));
        }
        if is_foreign(request.headers(), &names, accepted.is_none()) {
            let detail = "this API has no keys (API_KEYS_FILE), so it takes nothing from pages of \
                          other origins";
            return Err(Problem::new(Code::OriginNotAllowed, detail));
        }
        Ok(())
    }
}

/// The names that the client used for the API: behind a proxy, those that the proxy tells. None
/// for HTTP/1.0 without a name, which no browser sends.
fn names<B>(request: &Request<B>, proxies: &Nets) -> Result<Vec<String>, Problem> {
    let named = host::of(request)?;
    if !forwarded::is_proxied(request) {
        return Ok(named.into_iter().collect());
    }
    if !proxies.lists(client::peer(request)) {
        return Err(of_proxy(
            Code::ProxyNotTrusted,
            "the request comes through a proxy, which may have changed the name that the client \
             used: give the API keys, or name the proxy's address in API_TRUSTED_PROXIES",
        ));
    }
    let told = forwarded::hosts(request.headers());
    match (told.is_empty(), named) {
        // A page can write X-Forwarded-Host itself, and a proxy may pass it on beside the name that
        // the page was loaded under. A local name as Host is the proxy's own name for the API.
        (false, named) => Ok(told.into_iter().chain(named.filter(|n| !is_local_name(n))).collect()),
        // Some proxies pass the name on as it is.
        (true, Some(named)) if !is_loopback_name(&named) => Ok(vec![named]),
        (true, _) => Err(of_proxy(
            Code::ProxyTellsNoName,
            "the proxy does not tell the name that the client used: let it send X-Forwarded-Host, \
             or Forwarded with host=, or give the API keys",
        )),
    }
}

/// A configured name as names of requests are compared with it.
fn allowed(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn of_proxy(code: Code, why: &str) -> Problem {
    let detail = format!("this API has no keys (API_KEYS_FILE), and {why}");
    Problem::new(code, detail)
}

/// True for the loopback names of this machine and for the configured names. Where names are not
/// configured, everybody may post (a page's posts name their origin), and read under a name that no
/// owner of a page can have.
fn is_accepted(name: &str, configured: Option<&[String]>, method: &Method) -> bool {
    match configured {
        Some(hosts) => {
            is_loopback_name(name) || hosts.iter().any(|allowed| allowed == host_name(name))
        }
        None => is_local_name(name) || !(method == Method::GET || method == Method::HEAD),
    }
}

/// True for a request that a page of another origin has caused.
fn is_foreign(headers: &HeaderMap, names: &[String], may_have_any_name: bool) -> bool {
    // Sent by browsers to this machine and over HTTPS (Fetch Metadata, section 2), for reading too.
    let site = headers.get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return true;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
    let Some((_, authority)) = origin.split_once("://") else { return true };
    let is_own = names.iter().any(|name| name == authority);
    !is_own || may_have_any_name && !is_local_name(authority)
}

#[cfg(test)]
mod tests;
