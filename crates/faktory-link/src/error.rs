//! The errors of a link, and what an error means for a command.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use faktory_wire::{Excerpt, ProtocolError};

use crate::config::SettingNames;
use crate::tls_fault::TlsFault;

/// The phase of making or using a connection, as timeouts and failures name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// A free connection of the pool.
    Pool,
    /// The server's address.
    Resolve,
    /// The TCP connection.
    Connect,
    /// TLS: keys and certificates.
    Tls,
    /// Greeting and HELLO.
    Handshake,
    /// The system's taking of a command's bytes.
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

/// The reason why a connection could not be made, or ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A wait has reached its deadline.
    #[error("{phase} timed out after {after:?}")]
    Timeout {
        /// What was waited for.
        phase: Phase,
        /// The length of the wait.
        after: Duration,
    },
    /// The system reports a failure.
    #[error("{phase} failed: {}", Excerpt(source))]
    Io {
        /// What was being done.
        phase: Phase,
        /// What the system says.
        source: io::Error,
    },
    /// TLS failed, and a setting can cure that.
    #[error("{phase} failed: {} ({advice})", Excerpt(source))]
    Tls {
        /// What was being done.
        phase: Phase,
        /// What the TLS library says.
        source: io::Error,
        /// The fault.
        fault: TlsFault,
        /// The setting that cures the fault, in words.
        advice: String,
    },
    /// The server closed the connection.
    #[error("the work server closed the connection ({0})")]
    Closed(Phase),
    /// The server closed a connection without TLS before its greeting, as a server that expects TLS
    /// does.
    #[error(
        "the work server closed the connection before its greeting; a work server with TLS is \
         reached by tcp+tls://"
    )]
    NoGreeting,
    /// The server sent no greeting on a connection without TLS, as a server that expects TLS does:
    /// it waits for the client's first bytes.
    #[error(
        "the work server sent no greeting within {after:?}; a work server with TLS is reached by \
         tcp+tls://"
    )]
    Silent {
        /// The length of the wait.
        after: Duration,
    },
    /// The server sent bytes of TLS on a connection without TLS.
    #[error("the work server speaks TLS: it is reached by tcp+tls://")]
    SpeaksTls,
    /// The server answered the beginning of TLS with something else.
    #[error("the answer is not TLS: a work server without TLS is reached by tcp://")]
    SpeaksNoTls,
    /// The server refuses this client, with its reason.
    #[error("the work server refused the connection: {}", Excerpt(.0))]
    Refused(String),
    /// The server wants a password and none is configured.
    #[error("the work server asks for a password, and none is configured")]
    PasswordNeeded,
    /// The server asks for a hash of the password from which the password could be guessed. Nothing
    /// was sent.
    #[error(
        "the work server asks for a weak hash of the password, which is not sent: accepted are a \
         salt of at least 8 characters and 1000 to 1000000 hashes, as Faktory asks for"
    )]
    WeakProof,
    /// The server sent bytes that are not Faktory's protocol.
    #[error("broken protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// The server sent a reply that is not possible at this point.
    #[error("unexpected reply: {}", Excerpt(.0))]
    Unexpected(String),
    /// The connection was closed on this side.
    #[error("the connection was closed on this side")]
    ClosedHere,
}

impl LinkError {
    /// The fault of TLS that a setting can cure, where the error is one.
    #[must_use]
    pub const fn tls_fault(&self) -> Option<TlsFault> {
        match self {
            Self::Tls { fault, .. } => Some(*fault),
            _ => None,
        }
    }

    /// The error with advice on the setting that cures it, where there is such a setting.
    pub(crate) fn with_advice(self, names: &SettingNames) -> Self {
        match self {
            Self::Io { phase, source } => match TlsFault::of(&source) {
                Some(fault) => Self::Tls { phase, source, fault, advice: fault.advice(names) },
                None => Self::Io { phase, source },
            },
            other => other,
        }
    }

    /// The refusal that the text of a protocol error holds.
    pub(crate) fn refused(text: &str) -> Self {
        Self::Refused(text.strip_prefix("ERR ").unwrap_or(text).to_owned())
    }
}

/// The loss of a command: no reply has come and none will.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{} ({cause})", if *.sent { "sent, but no reply came" } else { "not sent" })]
pub struct Lost {
    /// True where the system has taken the whole command, so that the server may have carried it
    /// out. Otherwise the server has not, because it never saw the end of the line.
    pub sent: bool,
    /// The reason.
    pub cause: Arc<LinkError>,
}
