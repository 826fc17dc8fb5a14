//! The `Idempotency-Key` of each request: a request that is sent again with the same key and body
//! is the same request. Where the work server remembers no ids, the API refuses the header by name,
//! and the client goes on without it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reqwest::header::HeaderValue;

/// The name of the header.
pub(crate) const HEADER: &str = "idempotency-key";
/// The API's code for a header that would have no effect.
pub(crate) const NOT_SUPPORTED: &str = "idempotency_not_supported";

/// The keys of a client and its clones.
#[derive(Debug, Clone)]
pub(crate) struct Keys(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Bits that no other client has.
    prefix: u128,
    next: AtomicU64,
    /// The API has refused a key.
    are_refused: AtomicBool,
}

impl Keys {
    pub(crate) fn new() -> Self {
        // Each of the standard library's states has random keys from the system.
        let half = || u128::from(RandomState::new().hash_one(0_u8));
        let prefix = half() << 64 | half();
        Self(Arc::new(Shared { prefix, next: AtomicU64::new(0), are_refused: false.into() }))
    }

    /// A key for a new request; `None` where the API takes none.
    pub(crate) fn next(&self) -> Option<HeaderValue> {
        if self.0.are_refused.load(Ordering::Relaxed) {
            return None;
        }
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        HeaderValue::from_str(&format!("\"{:032x}-{number:x}\"", self.0.prefix)).ok()
    }

    /// Notes that the API has refused a key: later requests have none.
    pub(crate) fn note_refused(&self) {
        self.0.are_refused.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_a_key_of_its_own_until_the_api_refuses_one() {
        let (keys, others) = (Keys::new(), Keys::new());
        let some = [keys.next(), keys.clone().next(), others.next()].map(Option::unwrap);
        assert!(some[0] != some[1] && some[1] != some[2] && some[0] != some[2], "{some:?}");
        keys.clone().note_refused();
        assert_eq!((keys.next(), others.next().is_some()), (None, true));
    }
}
