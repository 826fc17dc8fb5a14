//! Making a connection: address, TCP, TLS, greeting and HELLO; each with its deadline.

mod handshake;
mod socket;

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{Error as TlsError, InvalidMessage};

use self::handshake::Handshake;
use crate::config::{LinkConfig, WorkerIdentity};
use crate::error::{LinkError, Phase};
use crate::stream::Stream;

/// A connection after its handshake.
pub(crate) struct Dialled {
    pub(crate) stream: Stream,
    /// The bytes that came after the handshake.
    pub(crate) rest: BytesMut,
    /// The duration of TCP's handshake.
    pub(crate) distance: Duration,
}

/// Connects and says HELLO. With `probe`, also asks for an answer in the same write (`PUSHB []`)
/// and waits for that answer.
pub(crate) async fn dial(
    config: &LinkConfig,
    identity: Option<&WorkerIdentity>,
    probe: bool,
) -> Result<Dialled, LinkError> {
    let dialled = async {
        let (stream, distance) = tcp(config).await?;
        let stream = tls(config, stream).await?;
        let (stream, rest) = shake_hands(&Handshake { config, identity, probe }, stream).await?;
        Ok(Dialled { stream, rest, distance })
    };
    dialled.await.map_err(|error: LinkError| error.with_advice(&config.setting_names))
}

async fn tcp(config: &LinkConfig) -> Result<(TcpStream, Duration), LinkError> {
    let limit = config.connect_timeout;
    let resolve = tokio::net::lookup_host((config.host.as_str(), config.port));
    let addresses: Vec<SocketAddr> = within(limit, Phase::Resolve, resolve).await?.collect();
    socket::connect_first(config, &addresses).await.map_err(|source| match source.kind() {
        ErrorKind::TimedOut => LinkError::Timeout { phase: Phase::Connect, after: limit },
        _ => LinkError::Io { phase: Phase::Connect, source },
    })
}

async fn tls(config: &LinkConfig, stream: TcpStream) -> Result<Stream, LinkError> {
    let Some(tls) = &config.tls else { return Ok(Stream::Plain(stream)) };
    let connecting =
        TlsConnector::from(Arc::clone(&tls.config)).connect(tls.server_name.clone(), stream);
    let stream = within(config.connect_timeout, Phase::Tls, connecting).await.map_err(or_no_tls)?;
    Ok(Stream::Tls(Box::new(stream)))
}

async fn shake_hands(
    handshake: &Handshake<'_>,
    stream: Stream,
) -> Result<(Stream, BytesMut), LinkError> {
    let limit = handshake.config.connect_timeout;
    let mut heard = false;
    match tokio::time::timeout(limit, handshake.run(stream, &mut heard)).await {
        Ok(result) => result,
        Err(_) if handshake.config.tls.is_none() && !heard => {
            Err(LinkError::Silent { after: limit })
        }
        Err(_) => Err(LinkError::Timeout { phase: Phase::Handshake, after: limit }),
    }
}

async fn within<T>(
    limit: Duration,
    phase: Phase,
    work: impl Future<Output = std::io::Result<T>>,
) -> Result<T, LinkError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(|source| LinkError::Io { phase, source }),
        Err(_) => Err(LinkError::Timeout { phase, after: limit }),
    }
}

/// The error that says so where a server without TLS was reached by TLS: its greeting came in place
/// of TLS's first answer.
fn or_no_tls(error: LinkError) -> LinkError {
    let of_tls = |source: &std::io::Error| {
        source.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()).cloned()
    };
    let no_tls = TlsError::InvalidMessage(InvalidMessage::InvalidContentType);
    match &error {
        LinkError::Io { source, .. } if of_tls(source) == Some(no_tls) => LinkError::SpeaksNoTls,
        _ => error,
    }
}
