//! Making a connection: address, TCP, TLS, greeting and HELLO; each with its deadline.

mod handshake;
mod socket;

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use faktory_wire::Abilities;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{Error as TlsError, InvalidMessage};

use self::handshake::{Handshake, Shaken};
use crate::arrival::{Deadline, OverTcp};
use crate::config::{LinkConfig, WorkerIdentity};
use crate::error::{LinkError, Phase};
use crate::stream::Stream;

/// A connection after its handshake.
pub(crate) struct Dialled {
    pub(crate) stream: Stream,
    /// The bytes that came after the handshake.
    pub(crate) rest: BytesMut,
    /// What the server can do beyond Faktory, as its greeting says.
    pub(crate) abilities: Abilities,
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
        let handshake = Handshake { config, identity, probe };
        let Shaken { stream, rest, abilities } = shake_hands(&handshake, stream).await?;
        Ok(Dialled { stream, rest, abilities, distance })
    };
    dialled.await.map_err(|error: LinkError| error.with_advice(&config.setting_names))
}

async fn tcp(config: &LinkConfig) -> Result<(TcpStream, Duration), LinkError> {
    let limit = config.connect_timeout;
    let resolve = tokio::net::lookup_host((config.host.as_str(), config.port));
    let addresses: Vec<SocketAddr> = match deadline::timeout(limit, resolve).await {
        Ok(resolved) => {
            resolved.map_err(|source| LinkError::Io { phase: Phase::Resolve, source })?.collect()
        }
        Err(_) => return Err(LinkError::Timeout { phase: Phase::Resolve, after: limit }),
    };
    socket::connect_first(config, &addresses).await.map_err(|source| match source.kind() {
        ErrorKind::TimedOut => LinkError::Timeout { phase: Phase::Connect, after: limit },
        _ => LinkError::Io { phase: Phase::Connect, source },
    })
}

async fn tls(config: &LinkConfig, stream: TcpStream) -> Result<Stream, LinkError> {
    let Some(tls) = &config.tls else { return Ok(Stream::Plain(stream)) };
    let mut connecting =
        TlsConnector::from(Arc::clone(&tls.config)).connect(tls.server_name.clone(), stream);
    let limit = config.connect_timeout;
    let connected = Deadline::from_now(limit)
        .watch(
            &mut connecting,
            |connecting, context| Pin::new(connecting).poll(context),
            OverTcp::has_arrivals,
        )
        .await;
    match connected {
        Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
        Ok(Err(source)) => Err(or_no_tls(LinkError::Io { phase: Phase::Tls, source })),
        Err(_) => Err(LinkError::Timeout { phase: Phase::Tls, after: limit }),
    }
}

async fn shake_hands(handshake: &Handshake<'_>, stream: Stream) -> Result<Shaken, LinkError> {
    let limit = handshake.config.connect_timeout;
    let mut heard = false;
    match handshake.run(stream, Deadline::from_now(limit), &mut heard).await {
        // The server may expect TLS, and wait for it.
        Err(LinkError::Timeout { phase: Phase::Handshake, .. })
            if handshake.config.tls.is_none() && !heard =>
        {
            Err(LinkError::Silent { after: limit })
        }
        result => result,
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
