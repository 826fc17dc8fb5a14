//! Certificates for tests, and the authority that signs them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use faktory_link::Tls;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use service_runtime::ServerTls;
use tempfile::TempDir;

/// A certificate authority. Its certificates lie in a folder that is removed with this value.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new authority.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Two authorities with the same name could be confused.
        params
            .distinguished_name
            .push(DnType::CommonName, format!("Authority {:x}", fastrand::u64(..)));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    /// The file with the authority's own certificate.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Writes a certificate for these names and its key into files with this name.
    #[must_use]
    pub fn certify(&self, file: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        let paths = (
            self.folder.path().join(format!("{file}.pem")),
            self.folder.path().join(format!("{file}.key")),
        );
        self.certify_to(&paths.0, &paths.1, names);
        paths
    }

    /// A server's certificate for `127.0.0.1` and `localhost`.
    #[must_use]
    pub fn server_tls(&self, file: &str) -> ServerTls {
        let (certificate, key) = self.certify(file, &["127.0.0.1", "localhost"]);
        ServerTls::load(&certificate, &key).unwrap()
    }

    /// Writes a certificate for these names and its key into these files, over existing files.
    pub fn certify_to(&self, certificate: &Path, key: &Path, names: &[&str]) {
        let pair = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
                .unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let signed = params.signed_by(&pair, &self.issuer).unwrap();
        std::fs::write(key, pair.serialize_pem()).unwrap();
        std::fs::write(certificate, signed.pem()).unwrap();
    }

    /// A store of roots that trusts only this authority.
    #[must_use]
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    /// TLS for a link to a server with this name; the link trusts only this authority.
    #[must_use]
    pub fn link_tls(&self, name: &str) -> Tls {
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = builder.with_root_certificates(self.roots()).with_no_client_auth();
        Tls {
            config: Arc::new(config),
            server_name: ServerName::try_from(name.to_owned()).unwrap(),
        }
    }
}
