//! Every request has an id: the caller's `x-request-id`, or one made here. It is in every answer
//! and in the log.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// A longer one from outside is replaced.
const LENGTH_MAX: usize = 128;

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the request being handled.
pub(crate) fn current() -> String {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// The layer that gives each request its id.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let given = request.headers().get(&HEADER).and_then(|value| value.to_str().ok());
    let fits = |id: &&str| {
        !id.is_empty() && id.len() <= LENGTH_MAX && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let id = given.filter(fits).map_or_else(|| Uuid::now_v7().simple().to_string(), Into::into);
    let header = HeaderValue::from_str(&id).ok();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = CURRENT.scope(id.clone(), next.run(request)).await;
    if let Some(header) = header {
        response.headers_mut().insert(HEADER, header);
    }
    tracing::debug!(%method, %path, status = response.status().as_u16(), request_id = %id, "request answered");
    response
}
