//! The client and its configuration.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use crate::keys::Keys;

/// A client of one API. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) base: Url,
    pub(crate) timeout: Duration,
    pub(crate) attempts: u32,
    pub(crate) give_up_after: Duration,
    pub(crate) chunk_jobs: usize,
    pub(crate) chunk_bytes: usize,
    pub(crate) chunks_in_flight: usize,
    pub(crate) keys: Keys,
}

/// Why a client can't be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The address is not a URL of an API.
    #[error("the API's address {0:?} must look like http://host:port or https://host:port")]
    Address(String),
    /// The authorities' certificates can't be used.
    #[error("the authorities must be certificates in PEM: {0}")]
    Authorities(String),
    /// The key has characters that no header may have.
    #[error("the key has characters that no HTTP header may have")]
    Key,
    /// The HTTP library can't start.
    #[error("failed to make an HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

/// The configuration of a client.
#[derive(Clone)]
pub struct Builder {
    address: String,
    key: Option<String>,
    authorities: Option<Vec<u8>>,
    connect_timeout: Duration,
    timeout: Duration,
    attempts: u32,
    give_up_after: Duration,
    chunk_jobs: usize,
    chunk_bytes: usize,
    chunks_in_flight: usize,
}

impl Client {
    /// A client with the defaults of [`Builder`].
    ///
    /// # Errors
    /// Where `address` is not `http://host:port` or `https://host:port`.
    pub fn new(address: &str) -> Result<Self, BuildError> {
        Self::builder(address).build()
    }

    /// The default configuration of a client, for the API at this address, such as
    /// `http://127.0.0.1:3000`.
    #[must_use]
    pub fn builder(address: &str) -> Builder {
        Builder {
            address: address.into(),
            key: None,
            authorities: None,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(65),
            attempts: 5,
            give_up_after: Duration::from_secs(120),
            chunk_jobs: 1000,
            chunk_bytes: 4 << 20,
            chunks_in_flight: 4,
        }
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("address", &self.address)
            .field("key", &self.key.as_ref().map(|_| "[redacted]"))
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// The key to present, where the API has keys; a key with the scope `post`.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The authorities (PEM) to trust instead of the system's, for an address with `https://`.
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// The time for the TCP connection; 10 s by default.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The time for one request up to the end of its answer; 65 s by default, a little more than
    /// the API's own limit. An answer that has arrived by then counts, even where this process was
    /// stopped meanwhile.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The most times that jobs which are certainly not stored are sent, the first time included; 5
    /// by default.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = if attempts == 0 { 1 } else { attempts };
        self
    }

    /// The time after the first attempt from which no further one begins; 120 s by default. A call
    /// ends within this time and one [`Builder::timeout`] more.
    #[must_use]
    pub const fn give_up_after(mut self, time: Duration) -> Self {
        self.give_up_after = time;
        self
    }

    /// The most jobs in one request of a batch; 1,000 by default. The API's own limit is
    /// `API_MAX_BATCH_JOBS`.
    #[must_use]
    pub const fn chunk_jobs(mut self, jobs: usize) -> Self {
        self.chunk_jobs = if jobs == 0 { 1 } else { jobs };
        self
    }

    /// The most bytes in one request of a batch, unless a single job is larger; 4 MiB by
    /// default.
    #[must_use]
    pub const fn chunk_bytes(mut self, bytes: usize) -> Self {
        self.chunk_bytes = bytes;
        self
    }

    /// The most requests of one batch in flight at once; 4 by default. With 1, jobs reach the API
    /// in their order.
    #[must_use]
    pub const fn chunks_in_flight(mut self, chunks: usize) -> Self {
        self.chunks_in_flight = if chunks == 0 { 1 } else { chunks };
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    /// Where the address is not `http://host:port` or `https://host:port`, or key or authorities
    /// can't be used.
    pub fn build(self) -> Result<Client, BuildError> {
        let wrong = || BuildError::Address(self.address.clone());
        let mut base = Url::parse(&self.address).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https")
            || base.host().is_none()
            || base.query().is_some()
        {
            return Err(wrong());
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.key {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| BuildError::Key)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(self.authorities.as_deref())?)
            .default_headers(headers)
            .connect_timeout(self.connect_timeout)
            // No timeout of reqwest's: it is asked before the answer, which may have arrived.
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(60))
            .pool_max_idle_per_host(usize::MAX)
            // Shorter than the 10 s after which the API closes an idle connection: a request on a
            // connection that is just being closed would end as unknown.
            .pool_idle_timeout(Duration::from_secs(5))
            // A redirect could send a job twice.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()?;
        Ok(Client {
            http,
            base,
            timeout: self.timeout,
            attempts: self.attempts,
            give_up_after: self.give_up_after,
            chunk_jobs: self.chunk_jobs,
            chunk_bytes: self.chunk_bytes,
            chunks_in_flight: self.chunks_in_flight,
            keys: Keys::new(),
        })
    }
}

/// The trusted authorities. The cryptography is ring's, chosen here and not for the whole process.
fn tls(authorities: Option<&[u8]>) -> Result<ClientConfig, BuildError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        None => {
            let system = rustls_native_certs::load_native_certs();
            let _counts = roots.add_parsable_certificates(system.certs);
        }
        Some(pem) => {
            let failed = |error: &dyn std::fmt::Display| BuildError::Authorities(error.to_string());
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots
                    .add(certificate.map_err(|error| failed(&error))?)
                    .map_err(|error| failed(&error))?;
            }
            if roots.is_empty() {
                return Err(failed(&"the file has no certificate"));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| BuildError::Authorities(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
