//! `/health`, `/ready` and `/metrics` of a worker. How connections are served is in
//! `health/serve.rs`.

mod serve;

use std::net::SocketAddr;
use std::sync::Arc;

use admission::is_local_name;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use faktory_link::ReplyBudget;
use faktory_wire::WorkerState;
use metrics::gauge;
use serde_json::{Value, json};
use service_runtime::metrics as names;
use tokio::net::TcpListener;

use crate::flow::Flow;
use crate::lifecycle::Lifecycle;
use crate::reporting::ReportQueues;

/// The address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}: {source}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub source: std::io::Error,
}

/// An address that is listened on, and not answered yet.
pub(crate) struct Listening(TcpListener);

pub(crate) fn listen(address: SocketAddr) -> Result<Listening, BindError> {
    let listener =
        service_runtime::listen(address).map_err(|source| BindError { address, source })?;
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(%address, "the worker answers /health, /ready and /metrics");
    // Before anything is counted. Another program's recorder is as good.
    let _ = names::record_metrics();
    Ok(Listening(listener))
}

/// The parts of a worker that the answers are about.
#[derive(Clone)]
pub(crate) struct Observed {
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) reports: Arc<ReportQueues>,
    pub(crate) replies: Arc<ReplyBudget>,
    /// Jobs run at once.
    pub(crate) slots: usize,
    /// Connections to the port at once.
    pub(crate) connections: usize,
}

impl Listening {
    /// Answers until dropped; ready while the worker has a connection to the work server and its
    /// fetches work.
    pub(crate) async fn serve(self, observed: Observed) {
        let connections = observed.connections;
        let lifecycle = Arc::clone(&observed.lifecycle);
        let ready = move || {
            let why = lifecycle.why_not_ready();
            async move { answer(why) }
        };
        let scrape = move || {
            let text = observed.scrape();
            async move { text }
        };
        let mut metrics = get(scrape);
        // Other machines know this one under names that only their DNS knows.
        if self.0.local_addr().is_ok_and(|address| address.ip().is_loopback()) {
            metrics = metrics.layer(from_fn(refuse_foreign_names));
        }
        let router = Router::new()
            .route("/health", get(|| async { Json(json!({ "status": "ok" })) }))
            .route("/ready", get(ready))
            .route("/metrics", metrics);
        tokio::join!(serve::serve(self.0, router, connections), names::upkeep());
    }
}

/// Refuses a request under a name whose owner may have made it point to this machine, so that a
/// page under that name reads the figures.
async fn refuse_foreign_names(request: Request, next: Next) -> Response {
    let is_foreign = |host: &HeaderValue| {
        !is_local_name(&host.to_str().unwrap_or_default().to_ascii_lowercase())
    };
    if request.headers().get_all(header::HOST).iter().any(is_foreign) {
        let accepted = "this worker listens on this machine alone and answers only to its names, \
                        such as localhost\n";
        return (StatusCode::FORBIDDEN, accepted).into_response();
    }
    next.run(request).await
}

fn answer(why_not: Option<String>) -> (StatusCode, Json<Value>) {
    match why_not {
        None => (StatusCode::OK, Json(json!({ "status": "ready" }))),
        Some(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not ready", "detail": why })))
        }
    }
}

impl Observed {
    /// All metrics, as Prometheus reads them.
    fn scrape(&self) -> Response {
        let Some(handle) = names::record_metrics() else {
            return (
                StatusCode::NOT_FOUND,
                "the program that this worker runs in records the metrics itself\n",
            )
                .into_response();
        };
        let now = self.flow.snapshot();
        for (state, jobs) in [
            ("running", now.running),
            ("buffered", now.buffered),
            ("at_risk", now.fetches),
            ("unacknowledged", self.reports.unsettled()),
        ] {
            gauge!(names::WORKER_JOBS, "state" => state).set(jobs as f64);
        }
        let bytes = self.flow.bytes();
        for (state, bytes) in [
            ("replies", self.replies.in_use()),
            ("waiting", bytes.waiting),
            ("running", bytes.running),
        ] {
            gauge!(names::WORKER_BYTES, "state" => state).set(bytes as f64);
        }
        let now_in = self.lifecycle.state();
        for (state, word) in [
            (WorkerState::Running, "running"),
            (WorkerState::Quiet, "quiet"),
            (WorkerState::Terminate, "ending"),
        ] {
            gauge!(names::WORKER_STATE, "state" => word).set(f64::from(state == now_in));
        }
        gauge!(names::WORKER_LANES).set(now.lanes as f64);
        gauge!(names::WORKER_IDLE).set(1.0 - now.running as f64 / self.slots as f64);
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
            .into_response()
    }
}
