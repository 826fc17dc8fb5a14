//! `/health` and `/ready` of a worker.

use std::net::SocketAddr;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

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
    let listener = TcpListener::bind(address).await.map_err(|source| BindError { address, source })?;
    tracing::info!(%address, "the worker answers /health and /ready");
    Ok(Listening(listener))
}

impl Listening {
    /// Answers until dropped; ready while the worker has a connection to the work server and its fetches work.
    pub(crate) async fn serve(self, connected: watch::Receiver<bool>, trouble: watch::Receiver<Option<String>>) {
        let ready = move || {
            let why = trouble.borrow().clone().map(|why| format!("fetches fail: {why}"));
            let why = if *connected.borrow() { why } else { Some("no connection to the work server".into()) };
            async move { answer(why) }
        };
        let router = Router::new().route("/health", get(|| async { Json(json!({ "status": "ok" })) })).route("/ready", get(ready));
        if let Err(error) = axum::serve(self.0, router).await {
            tracing::warn!(%error, "the worker no longer answers /health");
        }
    }
}

fn answer(why_not: Option<String>) -> (StatusCode, Json<Value>) {
    match why_not {
        None => (StatusCode::OK, Json(json!({ "status": "ready" }))),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not ready", "detail": why }))),
    }
}
