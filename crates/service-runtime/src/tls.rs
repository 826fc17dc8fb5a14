//! TLS by rustls, from the files that the configuration names. Cryptography is ring's, chosen here
//! and not for the whole process, so that a program that uses our libraries may choose another.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use faktory_wire::Excerpt;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore,
    ServerConfig, SignatureScheme, WantsVerifier,
};

use crate::watched::Watched;

/// A client's side of TLS: the authorities that the client trusts, its own certificate, and the
/// name that it expects of the server.
#[derive(Clone)]
pub struct ClientTls {
    /// The configuration for rustls.
    pub config: Arc<ClientConfig>,
    /// The name that the server's certificate must be for.
    pub server_name: ServerName<'static>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// What TLS is made of, each named by a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsFile {
    /// The authorities that a client trusts.
    Authorities,
    /// The name that a client expects in the server's certificate.
    ServerName,
    /// The own certificate.
    Certificate,
    /// The key of the own certificate.
    Key,
}

/// A fault in what TLS is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFileFault {
    /// What is at fault.
    pub file: TlsFile,
    /// What is wrong, and what is accepted.
    pub detail: String,
}

impl TlsFile {
    /// A fault of this file.
    fn fault(self, detail: impl Into<String>) -> TlsFileFault {
        TlsFileFault { file: self, detail: detail.into() }
    }

    fn read(self, path: &Path) -> Result<Vec<u8>, TlsFileFault> {
        std::fs::read(path)
            .map_err(|error| self.fault(format!("must name a file that can be read: {error}")))
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

/// The certificates in a PEM file, which is the authorities' or the own certificate's.
fn certificates_in(
    pem: &[u8],
    file: TlsFile,
) -> Result<Vec<CertificateDer<'static>>, TlsFileFault> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => {
            Err(file.fault("must name a PEM file with a certificate (-----BEGIN CERTIFICATE-----)"))
        }
    }
}

fn private_key_in(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsFileFault> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        TlsFile::Key.fault("must name a PEM file with a private key that has no passphrase")
    })
}

fn misfit(error: impl fmt::Display) -> TlsFileFault {
    TlsFile::Key.fault(format!("does not go with the certificate: {error}"))
}

/// The authorities of a file, or the system's where there is no file.
fn authorities(file: Option<&Path>) -> Result<RootCertStore, TlsFileFault> {
    let mut roots = RootCertStore::empty();
    let Some(path) = file else {
        let (added, _) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if added == 0 {
            return Err(TlsFile::Authorities.fault(
                "must be set, because this system has no certificates of authorities (Debian: the \
                 package ca-certificates)",
            ));
        }
        return Ok(roots);
    };
    for certificate in certificates_in(&TlsFile::Authorities.read(path)?, TlsFile::Authorities)? {
        roots.add(certificate).map_err(|error| {
            TlsFile::Authorities.fault(format!("has a certificate that can't be used: {error}"))
        })?;
    }
    Ok(roots)
}

/// A client that trusts the system's authorities, or those of a file instead.
pub(crate) fn client(files: &ClientFiles, server_name: &str) -> Result<ClientTls, TlsFileFault> {
    let server_name = ServerName::try_from(server_name.to_owned()).map_err(|_| {
        TlsFile::ServerName
            .fault("must be a name or an address, as the work server's certificate has it")
    })?;
    let roots = authorities(files.ca.as_deref())?;
    let builder = client_builder().with_root_certificates(roots);
    let config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate =
                certificates_in(&TlsFile::Certificate.read(certificate)?, TlsFile::Certificate)?;
            let key = private_key_in(&TlsFile::Key.read(key)?)?;
            builder.with_client_auth_cert(certificate, key).map_err(misfit)?
        }
    };
    Ok(ClientTls { config: Arc::new(config), server_name })
}

fn client_builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let builder = ClientConfig::builder_with_provider(provider());
    #[expect(clippy::expect_used, reason = "ring has cipher suites for both versions of TLS")]
    builder.with_safe_default_protocol_versions().expect("ring's cipher suites")
}

/// A server's side of TLS: its certificate, which may be renewed while the server runs.
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

/// The certificate that new connections use.
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

fn certified(certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsFileFault> {
    let certificates = certificates_in(certificate, TlsFile::Certificate)?;
    let key = private_key_in(key)?;
    CertifiedKey::from_der(certificates, key, &provider()).map_err(misfit)
}

impl ServerTls {
    /// Reads a certificate (with those between it and its authority) and its key, both PEM.
    ///
    /// # Errors
    /// With what is wrong in which of the two files.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsFileFault> {
        let certified =
            certified(&TlsFile::Certificate.read(certificate)?, &TlsFile::Key.read(key)?)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(certified))));
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), current })
    }

    /// The configuration for rustls, with the protocols that are offered by ALPN.
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

    /// Watches the files for ever, and uses a changed certificate for new connections. Files that
    /// can't be used change nothing, and the log says so, under the variable that names the
    /// certificate.
    pub async fn reload(self, variable: &'static str) {
        let mut watched = Watched::new([self.certificate.as_path(), self.key.as_path()]);
        loop {
            let read = match watched.changed().await {
                [Ok(certificate), Ok(key)] => {
                    certified(certificate, key).map_err(|fault| fault.detail)
                }
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
                    tracing::error!(
                        variable, why = %Excerpt(why),
                        "failed to read the certificate and its key again; those from before are \
                         used"
                    );
                }
            }
        }
    }
}

/// A client that trusts every server: for the health check, which goes over loopback and sends
/// nothing secret.
pub(crate) fn client_of_anybody() -> ClientTls {
    client_with(Trusted::Anybody)
}

fn client_with(trusted: Trusted) -> ClientTls {
    let verifier = Arc::new(WithoutAuthorities { trusted, provider: provider() });
    let config = client_builder()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    ClientTls {
        config: Arc::new(config),
        server_name: ServerName::from(std::net::IpAddr::from(std::net::Ipv4Addr::LOCALHOST)),
    }
}

/// The server that a client without authorities trusts.
#[derive(Debug)]
enum Trusted {
    /// The server with this certificate.
    Certificate(Arc<Current>),
    /// Every server.
    Anybody,
}

/// A verifier of certificates that asks no authorities.
#[derive(Debug)]
struct WithoutAuthorities {
    trusted: Trusted,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for WithoutAuthorities {
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
