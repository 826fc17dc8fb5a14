//! TLS by rustls, from the files that the configuration names. Cryptography is ring's, chosen here
//! and not for the whole process, so that a program that uses our libraries may choose another.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::watched::Watched;

/// How a client speaks TLS: whom it trusts, who it says it is, and whom it expects.
#[derive(Clone)]
pub struct ClientTls {
    /// For rustls.
    pub config: Arc<ClientConfig>,
    /// The name that the server's certificate must be for.
    pub server_name: ServerName<'static>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// The files of a client.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClientFiles {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    certificates_in(
        &std::fs::read(path)
            .map_err(|error| format!("must name a file that can be read: {error}"))?,
    )
}

fn certificates_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err("must name a PEM file with a certificate (-----BEGIN CERTIFICATE-----)".into()),
    }
}

fn private_key_in(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| "must name a PEM file with a private key that has no passphrase".into())
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    private_key_in(
        &std::fs::read(path)
            .map_err(|error| format!("must name a file that can be read: {error}"))?,
    )
}

/// A client that trusts the system's authorities, or those of a file instead. Errors come with the
/// variable that is at fault.
pub(crate) fn client(
    files: &ClientFiles,
    server_name: &str,
) -> Result<ClientTls, (&'static str, String)> {
    let server_name = ServerName::try_from(server_name.to_owned()).map_err(|_| {
        (
            "FAKTORY_TLS_SERVER_NAME",
            "must be a name or an address, as the work server's certificate has it".to_owned(),
        )
    })?;
    let mut roots = RootCertStore::empty();
    match &files.ca {
        Some(path) => {
            let of_ca = |detail| ("FAKTORY_TLS_CA_FILE", detail);
            for certificate in certificates(path).map_err(of_ca)? {
                roots.add(certificate).map_err(|error| {
                    of_ca(format!("has a certificate that can't be used: {error}"))
                })?;
            }
        }
        None => {
            let (added, _) =
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if added == 0 {
                let detail = "must be set, because this system has no certificates of authorities \
                              (Debian: the package ca-certificates)";
                return Err(("FAKTORY_TLS_CA_FILE", detail.into()));
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| ("FAKTORY_URL", error.to_string()))?
        .with_root_certificates(roots);
    let config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificates =
                certificates(certificate).map_err(|detail| ("FAKTORY_TLS_CERT_FILE", detail))?;
            let key = private_key(key).map_err(|detail| ("FAKTORY_TLS_KEY_FILE", detail))?;
            let misfit = |error| {
                ("FAKTORY_TLS_KEY_FILE", format!("does not go with the certificate: {error}"))
            };
            builder.with_client_auth_cert(certificates, key).map_err(misfit)?
        }
    };
    Ok(ClientTls { config: Arc::new(config), server_name })
}

/// How a server speaks TLS: its certificate, which may be renewed while it runs.
#[derive(Clone)]
pub struct ServerTls {
    certificate: PathBuf,
    key: PathBuf,
    current: Arc<Current>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// The certificate of new connections.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    fn get(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

fn certified(certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, (bool, String)> {
    let (certificates, key) = (
        certificates_in(certificate).map_err(|detail| (true, detail))?,
        private_key_in(key).map_err(|detail| (false, detail))?,
    );
    CertifiedKey::from_der(certificates, key, &provider())
        .map_err(|error| (false, format!("does not go with the certificate: {error}")))
}

impl ServerTls {
    /// Reads a certificate (with those between it and its authority) and its key, both PEM.
    ///
    /// # Errors
    /// With what is wrong, and whether the certificate's file is at fault (true) or the key's.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, (bool, String)> {
        let read = |path, is_certificate| {
            std::fs::read(path).map_err(|error| {
                (is_certificate, format!("must name a file that can be read: {error}"))
            })
        };
        let certified = certified(&read(certificate, true)?, &read(key, false)?)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(certified))));
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), current })
    }

    /// For rustls, with the protocols that are offered by ALPN.
    #[must_use]
    pub fn config(&self, protocols: &[&[u8]]) -> Arc<ServerConfig> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&self.current) as _;
        let builder = ServerConfig::builder_with_provider(provider());
        #[expect(clippy::expect_used, reason = "ring has cipher suites for both versions of TLS")]
        let builder = builder.with_safe_default_protocol_versions().expect("ring's cipher suites");
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }

    /// A client that trusts this server's certificate and no other, whatever its name: for the
    /// parts of one process.
    #[must_use]
    pub fn own_client(&self) -> ClientTls {
        client_with(Trusted::Certificate(Arc::clone(&self.current)))
    }

    /// Uses what stands in the files for new connections whenever that changes, for ever. Files
    /// that can't be used change nothing, and the log says so, under the variable that names the
    /// certificate.
    pub async fn reload(self, variable: &'static str) {
        let mut watched = Watched::new([self.certificate.as_path(), self.key.as_path()]);
        loop {
            let read = match watched.changed().await {
                [Ok(certificate), Ok(key)] => certified(certificate, key).map_err(|(_, why)| why),
                contents => Err(contents
                    .iter()
                    .find_map(|read| read.as_ref().err())
                    .cloned()
                    .unwrap_or_default()),
            };
            match read {
                Ok(read) => {
                    let mut current =
                        self.current.0.write().unwrap_or_else(PoisonError::into_inner);
                    if current.cert != read.cert {
                        tracing::info!(variable, "the certificate was renewed");
                    }
                    *current = Arc::new(read);
                }
                Err(why) => {
                    tracing::error!(variable, %why, "failed to read the certificate and its key again; those from before are used")
                }
            }
        }
    }
}

/// For a question over loopback in which there is nothing to betray.
pub(crate) fn client_of_anybody() -> ClientTls {
    client_with(Trusted::Anybody)
}

fn client_with(trusted: Trusted) -> ClientTls {
    let builder = ClientConfig::builder_with_provider(provider());
    #[expect(clippy::expect_used, reason = "ring has cipher suites for both versions of TLS")]
    let builder = builder.with_safe_default_protocol_versions().expect("ring's cipher suites");
    let verifier = Arc::new(Without { trusted, provider: provider() });
    let config =
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    ClientTls {
        config: Arc::new(config),
        server_name: ServerName::from(std::net::IpAddr::from(std::net::Ipv4Addr::LOCALHOST)),
    }
}

#[derive(Debug)]
enum Trusted {
    /// This one.
    Certificate(Arc<Current>),
    Anybody,
}

/// Verifies without authorities.
#[derive(Debug)]
struct Without {
    trusted: Trusted,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Without {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.trusted {
            Trusted::Certificate(current) if current.get().cert.first() != Some(end_entity) => {
                Err(CertificateError::UnknownIssuer.into())
            }
            Trusted::Certificate(_) | Trusted::Anybody => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
