//! The layer that gives each request its id, and logs the answer.

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use faktory_wire::Excerpt;

use crate::request_id;

/// Handles the request under its id, and returns the id in the answer.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let id = request_id::given_or_new(request.headers());
    let header = HeaderValue::from_str(&id).ok();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = request_id::with_id(id.clone(), next.run(request)).await;
    if let Some(header) = header {
        response.headers_mut().insert(request_id::HEADER, header);
    }
    let status = response.status().as_u16();
    let (method, path) = (Excerpt(method), Excerpt(path));
    tracing::debug!(%method, %path, status, request_id = %Excerpt(id), "request answered");
    response
}
