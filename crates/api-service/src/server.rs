//! The running service: starts its tasks, and ends them in order. How connections are accepted and
//! served is in `server/`.

mod accept;
mod connection;
mod late_timer;
mod logs;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use faktory_link::{LinkConfig, LinkPool, Observer, PoolFailure, Pusher};
use job_types::NameTwice;
use service_runtime::{TaskEnded, Tasks};

use crate::config::ApiConfig;
use crate::figures::Figures;
use crate::lifecycle::Phase;
use crate::probe::Prober;
use crate::state::{SharedState, State};

/// The time for the last answers to leave, after the time for requests is over.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Why the API can't start.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address can't be listened on.
    #[error("failed to listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file of keys or of a certificate is named, and what stands in it was not loaded: without
    /// it the API would let everybody in, or speak plain HTTP.
    #[error("{0} names a file that was not loaded")]
    FileNotLoaded(&'static str),
    /// The registry of typed jobs has a name twice.
    #[error(transparent)]
    Jobs(#[from] NameTwice),
    /// The pool of connections can't be made.
    #[error(transparent)]
    Pool(#[from] PoolFailure),
}

/// A running API.
pub struct Api {
    address: SocketAddr,
    state: SharedState,
    pool: LinkPool,
    /// The task that accepts connections; it ends after the last of them.
    serving: Tasks,
    /// All others, which end when the service does.
    background: Tasks,
}

/// Refuses settings that name a file without what stands in it. `Settings::load` sets both; a
/// program that sets the name alone would else start an API that is less protected than it says.
fn check_files(config: &ApiConfig) -> Result<(), ApiError> {
    let api = &config.api;
    if api.keys_file.is_some() && api.keys.is_none() {
        return Err(ApiError::FileNotLoaded("API_KEYS_FILE"));
    }
    if api.tls_cert_file.is_some() && api.tls.is_none() {
        return Err(ApiError::FileNotLoaded("API_TLS_CERT_FILE"));
    }
    Ok(())
}

impl Api {
    /// Listens and serves. Does not wait for the work server: `/ready` tells whether it answers.
    ///
    /// # Errors
    /// Where the address can't be listened on.
    pub async fn start(config: ApiConfig) -> Result<Self, ApiError> {
        check_files(&config)?;
        config.jobs.check()?;
        let bind = |source| ApiError::Bind { address: config.api.bind, source };
        let listener = service_runtime::listen(config.api.bind).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let figures = Arc::new(Figures::new());
        let observer: Arc<dyn Observer> = figures.clone();
        let pool = LinkPool::new(LinkConfig { observer: Some(observer), ..config.link.clone() })?;
        let pusher = Pusher::new(pool.clone());
        let state = Arc::new(State::new(config, address, pusher, figures));
        let prober = Prober {
            liveness: Arc::clone(&state.liveness),
            pool: pool.clone(),
            work_server: format!("{}:{}", state.config.link.host, state.config.link.port),
            open_for: state.config.link.breaker_open_for,
        };
        let background = background(&state, prober);
        let mut serving = Tasks::default();
        serving.spawn("serving", accept::serve(listener, Arc::clone(&state)));
        tracing::info!(%address, "the API listens");
        Ok(Self { address, state, pool, serving, background })
    }

    /// The address on which the API listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until a task of the API ends that was to run on, by a fault of this program; then call
    /// [`Api::stop`], since the API does only a part of its work. Cancel safe.
    pub async fn failed(&mut self) -> TaskEnded {
        let ended = tokio::select! {
            ended = self.serving.failed() => ended,
            ended = self.background.failed() => ended,
        };
        ended.log();
        ended
    }

    /// Ends in order: new requests are refused; requests in flight go on for `timeout`, and then
    /// get an answer that tells what is known of their jobs.
    pub async fn stop(mut self, timeout: Duration) {
        self.state.lifecycle.enter(Phase::ShuttingDown);
        if deadline::timeout(timeout, self.serving.all_ended()).await.is_err() {
            self.state.lifecycle.enter(Phase::TimeIsUp);
            self.state.pusher.abandon();
            let _ = deadline::timeout(LAST_ANSWERS, self.serving.all_ended()).await;
            self.serving.abort_all();
        }
        self.background.abort_all();
        self.state.streams.end().await;
        let _ = deadline::timeout(LAST_ANSWERS, self.state.pusher.close()).await;
        self.pool.close();
        tracing::info!("the API has ended");
    }
}

/// The tasks beside the one that serves.
fn background(state: &SharedState, prober: Prober) -> Tasks {
    let mut tasks = Tasks::default();
    tasks.spawn("probing", prober.run());
    tasks.spawn("upkeep of metrics", service_runtime::metrics::upkeep());
    if state.config.api.keys.is_some() {
        let state = Arc::clone(state);
        tasks.spawn("reload of keys", async move { state.keyring.reload().await });
    }
    if let Some(tls) = state.config.api.tls.clone() {
        tasks.spawn("reload of the certificate", tls.reload("API_TLS_CERT_FILE"));
    }
    let sender = Arc::clone(state);
    tasks.spawn("sending", async move { sender.pusher.until_ended().await });
    tasks
}

#[cfg(test)]
mod tests;
