//! `/health`, `/ready` and `/metrics` of a worker.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::metrics;
use crate::shared::Shared;

/// The address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}: {source}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub source: std::io::Error,
}

pub(crate) struct Listening(TcpListener);

pub(crate) async fn listen(address: SocketAddr) -> Result<Listening, BindError> {
    let listener =
        TcpListener::bind(address).await.map_err(|source| BindError { address, source })?;
    tracing::info!(%address, "the worker answers /health, /ready and /metrics");
    // Before anything is counted. Somebody else's recorder is as good.
    let _ = service_runtime::metrics::record_metrics();
    Ok(Listening(listener))
}

impl Listening {
    /// Answers until dropped; ready while the worker has a connection to the work server and its
    /// fetches work.
    pub(crate) async fn serve(self, shared: Arc<Shared>) {
        let (of_ready, of_metrics) = (Arc::clone(&shared), shared);
        let ready = move || {
            let why = of_ready.trouble.borrow().clone().map(|why| format!("fetches fail: {why}"));
            let why = if *of_ready.connected.borrow() {
                why
            } else {
                Some("no connection to the work server".into())
            };
            async move { answer(why) }
        };
        let scrape = move || {
            let text = metrics::scrape(&of_metrics);
            async move { text }
        };
        let router = Router::new()
            .route("/health", get(|| async { Json(json!({ "status": "ok" })) }))
            .route("/ready", get(ready))
            .route("/metrics", get(scrape));
        let served = async { axum::serve(self.0, router).await };
        tokio::select! {
            result = served => if let Err(error) = result {
                tracing::warn!(%error, "the worker no longer answers /health");
            },
            () = service_runtime::metrics::upkeep() => {}
        }
    }
}

fn answer(why_not: Option<String>) -> (StatusCode, Json<Value>) {
    match why_not {
        None => (StatusCode::OK, Json(json!({ "status": "ready" }))),
        Some(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not ready", "detail": why })))
        }
    }
}
