//! The faults of TLS that a setting can cure: what they are, and which setting it is.

use std::io;

use tokio_rustls::rustls::{AlertDescription as Alert, CertificateError, Error};

use crate::config::SettingNames;

/// A fault of TLS that a setting can cure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsFault {
    /// No trusted authority has issued the server's certificate.
    UnknownAuthority,
    /// The server's certificate is for another name.
    WrongName,
    /// The server asks for a certificate of the client.
    ClientCertificateWanted,
}

impl TlsFault {
    /// The fault behind an error of the system; `None` for any other error.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref::<Error>()? {
            // With another authority of the same name the signature is what does not fit.
            Error::InvalidCertificate(
                CertificateError::UnknownIssuer
                | CertificateError::BadSignature
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
            ) => Some(Self::UnknownAuthority),
            Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => Some(Self::WrongName),
            Error::AlertReceived(Alert::CertificateRequired) => Some(Self::ClientCertificateWanted),
            _ => None,
        }
    }

    /// The advice for a person: the setting that cures the fault.
    pub(crate) fn advice(self, names: &SettingNames) -> String {
        match self {
            Self::UnknownAuthority => {
                format!("{} says which authorities are trusted", names.tls_authorities)
            }
            Self::WrongName => format!(
                "{} says for which name the certificate must be, where that is not the URL's host",
                names.tls_server_name
            ),
            Self::ClientCertificateWanted if names.tls_certificate == names.tls_key => format!(
                "the work server asks for a client certificate: {} says which",
                names.tls_certificate
            ),
            Self::ClientCertificateWanted => format!(
                "the work server asks for a client certificate: {} and {} say which",
                names.tls_certificate, names.tls_key
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::error::{LinkError, Phase};

    use super::*;

    const NAMES: SettingNames = SettingNames {
        tls_authorities: "CA",
        tls_server_name: "NAME",
        tls_certificate: "CERT",
        tls_key: "KEY",
        congestion: "CONGESTION",
    };

    fn advised(error: Error) -> LinkError {
        let source = io::Error::new(io::ErrorKind::InvalidData, error);
        LinkError::Io { phase: Phase::Tls, source }.with_advice(&NAMES)
    }

    #[test]
    fn each_fault_is_told_by_type_and_by_the_name_of_the_setting() {
        for (error, fault, text) in [
            (
                Error::InvalidCertificate(CertificateError::UnknownIssuer),
                TlsFault::UnknownAuthority,
                "(CA says which authorities are trusted)",
            ),
            (
                Error::InvalidCertificate(CertificateError::BadSignature),
                TlsFault::UnknownAuthority,
                "(CA says which authorities are trusted)",
            ),
            (
                Error::InvalidCertificate(CertificateError::NotValidForName),
                TlsFault::WrongName,
                "(NAME says for which name the certificate must be",
            ),
            (
                Error::AlertReceived(Alert::CertificateRequired),
                TlsFault::ClientCertificateWanted,
                "CERT and KEY say which)",
            ),
        ] {
            let error = advised(error);
            assert_eq!(error.tls_fault(), Some(fault));
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn an_error_that_no_setting_cures_has_no_advice() {
        let error = advised(Error::DecryptError);
        assert!(matches!(error, LinkError::Io { .. }), "{error}");
        assert_eq!(error.tls_fault(), None);
    }
}
