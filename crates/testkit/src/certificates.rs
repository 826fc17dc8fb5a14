//! Certificates for tests, and the authority that vouches for them.

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
use tempfile::TempDir;

/// An authority of its own, whose certificates lie in a folder that goes with it.
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
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Two of the same name would be taken for one another.
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

    /// The file with its own certificate.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Files with a certificate for these names and its key, called so.
    #[must_use]
    pub fn certify(&self, file: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        let paths = (
            self.folder.path().join(format!("{file}.pem")),
            self.folder.path().join(format!("{file}.key")),
        );
        self.certify_to(&paths.0, &paths.1, names);
        paths
    }

    /// The same, in place of what is there.
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

    /// Whom this authority vouches for.
    #[must_use]
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    /// For a link to a server of this name that trusts nobody else.
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
