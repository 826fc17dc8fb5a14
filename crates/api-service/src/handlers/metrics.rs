//! `GET /metrics`.

use axum::extract::State as Extract;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use service_runtime::metrics::record_metrics;

use crate::figures;
use crate::problem::{Code, Problem};
use crate::state::SharedState;

/// All metrics of this process, in the text format of Prometheus.
pub(crate) async fn metrics(Extract(state): Extract<SharedState>) -> Response {
    let Some(handle) = record_metrics() else {
        let detail = "the program that this API runs in records the metrics itself";
        return Problem::new(Code::NotFound, detail).into_response();
    };
    figures::record_link(&state.pusher.status());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
        .into_response()
}
