//! The id of a request: the caller's `x-request-id`, or an id made here. Every answer and every log
//! line about a request carries its id. The layer that assigns ids is `layers/request_id.rs`.

use axum::http::{HeaderMap, HeaderName};
use uuid::Uuid;

/// The header that carries the id, in requests and in answers.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken from a caller; a longer one is replaced.
const LENGTH_MAX: usize = 128;

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the request that is being handled; empty outside of a request.
pub(crate) fn current() -> String {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// Runs the handling of a request under this id.
pub(crate) async fn with_id<F: Future>(id: String, handling: F) -> F::Output {
    CURRENT.scope(id, handling).await
}

/// The id that the caller gave, where it is usable; otherwise a new id.
pub(crate) fn given_or_new(headers: &HeaderMap) -> String {
    let given = headers.get(&HEADER).and_then(|value| value.to_str().ok());
    let is_usable = |id: &&str| {
        !id.is_empty() && id.len() <= LENGTH_MAX && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    given.filter(is_usable).map_or_else(|| Uuid::now_v7().simple().to_string(), Into::into)
}
