//! The keys that open the API, and the check of a presented key.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::{HeaderMap, header};
use service_runtime::{ApiSettings, Keys, Scope, Watched};

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
    current: RwLock<Arc<Keys>>,
}

impl Keyring {
    pub(crate) fn new(config: &ApiSettings) -> Self {
        let watched = config.keys.as_ref().map(|(file, keys)| WatchedKeys {
            file: file.clone(),
            current: RwLock::new(Arc::new(keys.clone())),
        });
        Self { watched }
    }

    fn keys(&self) -> Option<Arc<Keys>> {
        let current = &self.watched.as_ref()?.current;
        Some(Arc::clone(&current.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Lets a request pass whose key has this scope.
    pub(crate) fn check(&self, headers: &HeaderMap, scope: Scope) -> Result<(), Denied> {
        let Some(keys) = self.keys() else { return Ok(()) };
        let Some(presented) = presented(headers) else { return Err(Denied::NoKey) };
        match keys.find(presented) {
            Some(key) if key.scopes.contains(&scope) => Ok(()),
            Some(key) => Err(Denied::ScopeMissing(key.name.clone(), scope)),
            None => Err(Denied::UnknownKey),
        }
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
                    %why,
                    "failed to reload the keys (API_KEYS_FILE); the keys from before stay in force"
                ),
            }
        }
    }
}

fn replace(current: &RwLock<Arc<Keys>>, read: Keys) {
    let mut current = current.write().unwrap_or_else(PoisonError::into_inner);
    if **current == read {
        return;
    }
    if read.is_empty() {
        tracing::warn!("the file of keys has no key left: every request is denied (API_KEYS_FILE)");
    } else {
        tracing::info!(keys = read.len(), "the keys have changed (API_KEYS_FILE)");
    }
    *current = Arc::new(read);
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
