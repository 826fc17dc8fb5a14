//! What can go wrong on a link, and what that means for a command.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use faktory_wire::ProtocolError;

/// What was being waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// A free place in the pool.
    Pool,
    /// The server's address.
    Resolve,
    /// The TCP connection.
    Connect,
    /// TLS: keys and certificates.
    Tls,
    /// Greeting and HELLO.
    Handshake,
    /// The system taking a command's bytes.
    Write,
    /// A reply.
    Reply,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pool => "pool",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "TLS",
            Self::Handshake => "handshake",
            Self::Write => "write",
            Self::Reply => "reply",
        })
    }
}

/// Why a connection could not be made, or ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A wait came to its end.
    #[error("{phase} timed out after {after:?}")]
    Timeout {
        /// What was waited for.
        phase: Phase,
        /// For how long.
        after: Duration,
    },
    /// The system reports a failure.
    #[error("{phase} failed: {source}{}", tls_advice(.source))]
    Io {
        /// What was being done.
        phase: Phase,
        /// What the system says.
        source: io::Error,
    },
    /// The server closed the connection.
    #[error("the work server closed the connection ({0})")]
    Closed(Phase),
    /// The server closed a connection without TLS before it said anything: those that speak TLS do.
    #[error(
        "the work server closed the connection before its greeting; one that speaks TLS is \
         reached by tcp+tls://"
    )]
    NoGreeting,
    /// The server said nothing at all on a connection without TLS: those that speak TLS wait for
    /// the client's first word.
    #[error(
        "the work server has not greeted within {after:?}; one that speaks TLS is reached by \
         tcp+tls://"
    )]
    Silent {
        /// How long it was waited for.
        after: Duration,
    },
    /// What came on a connection without TLS is TLS.
    #[error("the work server speaks TLS: it is reached by tcp+tls://")]
    SpeaksTls,
    /// What came in answer to the beginning of TLS is not TLS.
    #[error("what answered is not TLS: a work server without it is reached by tcp://")]
    SpeaksNoTls,
    /// The server does not want this client, and says why.
    #[error("the work server refused the connection: {0}")]
    Refused(String),
    /// The server wants a password and none is configured.
    #[error("the work server asks for a password, and none is configured")]
    PasswordNeeded,
    /// What came is not Faktory's protocol.
    #[error("broken protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// What came is a reply, but none that can stand there.
    #[error("unexpected reply: {0}")]
    Unexpected(String),
    /// We closed the connection ourselves.
    #[error("the connection was closed on this side")]
    ClosedHere,
}

/// What in the configuration has to do with a failure of TLS.
fn tls_advice(source: &io::Error) -> &'static str {
    use tokio_rustls::rustls::{AlertDescription as Alert, CertificateError as Fault, Error};
    match source.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(Fault::UnknownIssuer)) => {
            " (FAKTORY_TLS_CA_FILE says who may vouch for the work server)"
        }
        Some(Error::InvalidCertificate(
            Fault::NotValidForName | Fault::NotValidForNameContext { .. },
        )) => {
            " (FAKTORY_TLS_SERVER_NAME says whose certificate is expected, where that is not the \
             URL's host)"
        }
        Some(Error::AlertReceived(Alert::CertificateRequired)) => {
            " (it asks for our certificate: FAKTORY_TLS_CERT_FILE and FAKTORY_TLS_KEY_FILE say \
             which)"
        }
        _ => "",
    }
}

/// A command without a reply.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{} ({cause})", if *.sent { "sent, but no reply came" } else { "not sent" })]
pub struct Lost {
    /// True where the whole command was handed to the system: the server may have carried it out.
    /// Otherwise it has not, because it never saw the end of the line.
    pub sent: bool,
    /// Why.
    pub cause: Arc<LinkError>,
}
