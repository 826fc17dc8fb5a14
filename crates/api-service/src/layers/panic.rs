//! The answer to a request whose handler panicked.

use std::any::Any;

use axum::response::{IntoResponse, Response};
use faktory_wire::Excerpt;

use crate::problem::{Code, Problem};
use crate::request_id;

/// Logs the panic under the request's id, and answers 500.
#[expect(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
pub(crate) fn answer(cause: Box<dyn Any + Send>) -> Response {
    let text = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied());
    let request_id = request_id::current();
    let panic = Excerpt(text.unwrap_or("unknown"));
    tracing::error!(%panic, request_id = %Excerpt(request_id), "a handler panicked");
    Problem::new(Code::InternalError, "a defect of this service; report it with the request_id")
        .into_response()
}
