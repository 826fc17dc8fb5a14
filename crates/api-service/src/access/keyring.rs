//! The keys that open the API, and the check of a presented key.

use std::path::PathBuf;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use faktory_wire::Excerpt;
use service_runtime::{ApiSettings, Key, KeyHash, Keys, Scope, Watched};
use tokio::sync::watch;

use crate::problem::{Code, Problem};

/// The current keys; without any, every request passes.
#[derive(Debug)]
pub(crate) struct Keyring {
    watched: Option<WatchedKeys>,
}

/// Keys, and the file that holds them.
#[derive(Debug)]
struct WatchedKeys {
    file: PathBuf,
    current: watch::Sender<Arc<Keys>>,
}

/// What let a request pass; an extension of the request. A handler that works on for long asks
/// again with it, because a key may be taken back meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct Pass(Option<Passed>);

/// A key that let a request pass.
#[derive(Debug, Clone)]
struct Passed {
    hash: KeyHash,
    scope: Scope,
    name: String,
}

impl Pass {
    /// Who posts, where the API has keys: the name of the key, which stays the same where a new
    /// secret takes the place of the old one.
    pub(crate) fn caller(&self) -> Option<&str> {
        self.0.as_ref().map(|passed| passed.name.as_str())
    }
}

impl Keyring {
    pub(crate) fn new(config: &ApiSettings) -> Self {
        let watched = config.keys.as_ref().map(|(file, keys)| WatchedKeys {
            file: file.clone(),
            current: watch::Sender::new(Arc::new(keys.clone())),
        });
        Self { watched }
    }

    fn keys(&self) -> Option<Arc<Keys>> {
        Some(Arc::clone(&self.watched.as_ref()?.current.borrow()))
    }

    /// True for a request with any of the keys, and for every request where there are none.
    pub(crate) fn knows(&self, headers: &HeaderMap) -> bool {
        let Some(keys) = self.keys() else { return true };
        presented(headers).is_some_and(|key| keys.find(key).is_some())
    }

    /// Lets a request pass whose key has this scope.
    pub(crate) fn check(&self, headers: &HeaderMap, scope: Scope) -> Result<Pass, Denied> {
        let Some(keys) = self.keys() else { return Ok(Pass(None)) };
        let Some(presented) = presented(headers) else { return Err(Denied::NoKey) };
        let key = allows(keys.find(presented), scope)?;
        Ok(Pass(Some(Passed { hash: key.hash(), scope, name: key.name.clone() })))
    }

    /// Whether the key that let a request pass would still do so.
    pub(crate) fn check_again(&self, Pass(pass): &Pass) -> Result<(), Denied> {
        let (Some(keys), Some(passed)) = (self.keys(), pass) else { return Ok(()) };
        allows(keys.of_hash(passed.hash), passed.scope).map(drop)
    }

    /// Tells when the keys change.
    pub(crate) fn changes(&self) -> KeyChanges {
        KeyChanges(self.watched.as_ref().map(|watched| watched.current.subscribe()))
    }

    /// Reads the keys again whenever their file changes, for ever. A file that can't be used is
    /// logged, and the keys stay as they were.
    pub(crate) async fn reload(&self) {
        let Some(WatchedKeys { file, current }) = &self.watched else { return };
        let mut watched = Watched::new([file.as_path()]);
        loop {
            let read = match watched.changed().await.first() {
                Some(Ok(bytes)) => std::str::from_utf8(bytes)
                    .map_err(|error| error.to_string())
                    .and_then(Keys::parse),
                Some(Err(why)) => Err(why.clone()),
                None => return,
            };
            match read {
                Ok(read) => replace(current, read),
                Err(why) => tracing::error!(
                    why = %Excerpt(why),
                    "failed to reload the keys (API_KEYS_FILE); the keys from before stay in force"
                ),
            }
        }
    }
}

/// A key that allows this.
fn allows(key: Option<&Key>, scope: Scope) -> Result<&Key, Denied> {
    match key {
        Some(key) if key.scopes.contains(&scope) => Ok(key),
        Some(key) => Err(Denied::ScopeMissing(key.name.clone(), scope)),
        None => Err(Denied::UnknownKey),
    }
}

/// The changes of the keys, as one who waits for them sees them.
pub(crate) struct KeyChanges(Option<watch::Receiver<Arc<Keys>>>);

impl KeyChanges {
    /// Waits for the next change; for ever where there are no keys. Cancel safe.
    pub(crate) async fn next(&mut self) {
        let Some(keys) = &mut self.0 else { return std::future::pending().await };
        if keys.changed().await.is_err() {
            // The service has ended.
            std::future::pending().await
        }
    }
}

fn replace(current: &watch::Sender<Arc<Keys>>, read: Keys) {
    if **current.borrow() == read {
        return;
    }
    if read.is_empty() {
        tracing::warn!("the file of keys has no key left: every request is denied (API_KEYS_FILE)");
    } else {
        tracing::info!(keys = read.len(), "the keys have changed (API_KEYS_FILE)");
    }
    current.send_replace(Arc::new(read));
}

/// The key of `Authorization: Bearer KEY` (RFC 6750).
fn presented(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim()).filter(|key| !key.is_empty())
}

/// Why a request is denied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    NoKey,
    UnknownKey,
    /// The key of this name lacks this scope.
    ScopeMissing(String, Scope),
}

impl Denied {
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::NoKey => {
                Problem::new(Code::KeyMissing, "send a key: the header Authorization: Bearer KEY")
            }
            Self::UnknownKey => Problem::new(
                Code::KeyUnknown,
                "the key is not among the keys of this API (API_KEYS_FILE)",
            ),
            Self::ScopeMissing(name, scope) => Problem::new(
                Code::ScopeMissing,
                format!("this needs a key with the scope {scope}; the key {name} lacks that scope"),
            ),
        }
    }

    /// The end of a stream whose key no longer allows it.
    pub(crate) fn end_of_stream(&self) -> Problem {
        let (code, what) = match self {
            Self::NoKey | Self::UnknownKey => (Code::KeyUnknown, "has been taken back"),
            Self::ScopeMissing(..) => (Code::ScopeMissing, "has lost the scope for this"),
        };
        let detail = format!(
            "the key of this stream {what} (API_KEYS_FILE); lines that get no result were not taken"
        );
        Problem::new(code, detail)
    }

    /// The header `WWW-Authenticate` (RFC 6750, section 3).
    pub(crate) fn challenge(&self) -> String {
        let realm = r#"Bearer realm="work-factory""#;
        match self {
            Self::NoKey => realm.into(),
            Self::UnknownKey => format!(r#"{realm}, error="invalid_token""#),
            Self::ScopeMissing(_, scope) => {
                format!(r#"{realm}, error="insufficient_scope", scope="{scope}""#)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_from_the_header_that_rfc_6750_names() {
        for (value, expected) in [
            ("Bearer wf_a", Some("wf_a")),
            ("bearer  wf_a ", Some("wf_a")),
            ("Basic wf_a", None),
            ("wf_a", None),
            ("Bearer ", None),
        ] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(presented(&headers), expected, "{value}");
        }
    }
}
