//! The API in the process of the test.

use std::net::SocketAddr;
use std::time::Duration;

use api_service::{Api, ApiConfig};
use faktory_link::LinkConfig;

use crate::http;
use crate::process::eventually;

/// A running API on a free port.
pub struct TestApi {
    api: Api,
}

impl TestApi {
    /// Starts an API for this work server, and waits until the API is ready.
    pub async fn start(link: LinkConfig) -> Self {
        let api = Self::start_with(ApiConfig::new(link)).await;
        api.ready().await;
        api
    }

    /// Starts an API with this configuration, and waits for nothing.
    pub async fn start_with(config: ApiConfig) -> Self {
        Self { api: Api::start(config).await.unwrap() }
    }

    /// Waits until the API is ready.
    pub async fn ready(&self) {
        let address = self.address();
        eventually("the API is ready", Duration::from_secs(20), || async move {
            http::get(address, "/ready")
                .await
                .is_ok_and(|answer| answer.status == 200)
                .then_some(())
        })
        .await;
    }

    /// The address at which the API listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.api.address()
    }

    /// Stops the API in order.
    pub async fn stop(self, timeout: Duration) {
        self.api.stop(timeout).await;
    }
}
