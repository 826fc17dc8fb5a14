//! The URL of the work server: `tcp://:password@host:port`, or `tcp+tls://…`.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::secret::Secret;

/// Faktory's port.
const DEFAULT_PORT: u16 = 7419;

/// The address of a work server, and its password. `Display` and `Debug` hide the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkServerUrl {
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// True where TLS is spoken.
    pub is_tls: bool,
    /// The password, where there is one.
    pub password: Option<Secret>,
}

impl WorkServerUrl {
    /// Reads a URL. The error says what is accepted and never repeats the text, which may contain a
    /// password.
    ///
    /// # Errors
    /// Where the text is no such URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let accepted = || {
            "a URL such as tcp://127.0.0.1:7419, tcp://:password@host:7419 or \
             tcp+tls://:password@host:7419 (special characters of the password percent-encoded)"
                .to_owned()
        };
        let url = Url::parse(text).map_err(|_| accepted())?;
        let is_tls = match url.scheme() {
            "tcp" => false,
            "tcp+tls" => true,
            _ => return Err(accepted()),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(accepted)?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(accepted());
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let password = match url.password() {
            None | Some("") => None,
            Some(encoded) => {
                let decoded = percent_decode_str(encoded).decode_utf8().map_err(|_| accepted())?;
                Some(Secret::new(decoded.into_owned()))
            }
        };
        Ok(Self { host, port: url.port().unwrap_or(DEFAULT_PORT), is_tls, password })
    }
}

impl fmt::Display for WorkServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = if self.password.is_some() { ":[redacted]@" } else { "" };
        let scheme = if self.is_tls { "tcp+tls" } else { "tcp" };
        if self.host.contains(':') {
            write!(f, "{scheme}://{secret}[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{secret}{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_shown_without_its_password() {
        let url = WorkServerUrl::parse("tcp://:p%40ss%3Aword@faktory.example:7777").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("faktory.example", 7777));
        assert_eq!(url.password.as_ref().unwrap().reveal(), "p@ss:word");
        assert_eq!(url.to_string(), "tcp://:[redacted]@faktory.example:7777");
        assert!(!format!("{url:?}").contains("p@ss"));
        assert_eq!(
            WorkServerUrl::parse("tcp://localhost").unwrap().to_string(),
            "tcp://localhost:7419"
        );
        assert_eq!(
            WorkServerUrl::parse("tcp+tls://:x@host").unwrap().to_string(),
            "tcp+tls://:[redacted]@host:7419"
        );
        assert_eq!(
            WorkServerUrl::parse("tcp://[::1]:7419").unwrap().to_string(),
            "tcp://[::1]:7419"
        );
    }

    #[test]
    fn a_refusal_never_repeats_the_text() {
        for text in [
            "",
            "faktory:7419",
            "http://:secret@host",
            "tls://:secret@host",
            "tcp://:secret@",
            "tcp://:secret@host:99999",
            "tcp://:secret@host/path",
        ] {
            let error = WorkServerUrl::parse(text).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
