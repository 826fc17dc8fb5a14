//! TLS below a connection: the agreement on TLS, and the end of a TLS stream.

use std::io;
use std::sync::Arc;

use faktory_wire::Excerpt;
use tokio::io::{ReadHalf, WriteHalf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::patience::Patience;
use crate::shared_io::SharedIo;
use crate::turned_away::TurnedAway;

/// The reading and the writing half of a connection over TLS.
type Halves<'a> = (ReadHalf<TlsStream<SharedIo<'a>>>, WriteHalf<TlsStream<SharedIo<'a>>>);

/// Agrees on TLS with a client; `None` where that failed or took too long.
pub(super) async fn accept<'a>(
    tls: &Arc<ServerConfig>,
    io: SharedIo<'a>,
    patience: &mut Patience,
    turned_away: &TurnedAway,
) -> Option<Halves<'a>> {
    let accepting = TlsAcceptor::from(Arc::clone(tls)).accept(io);
    match patience.within(io.stream, accepting).await? {
        Ok(stream) => Some(tokio::io::split(stream)),
        Err(error) => {
            log_failure(io, &error, turned_away);
            None
        }
    }
}

/// A client that only checks whether the port is open sends nothing; that is no failure of TLS and
/// not worth a line at the level info.
fn log_failure(io: SharedIo<'_>, error: &io::Error, turned_away: &TurnedAway) {
    let client = || io.stream.peer_addr().map(|address| address.to_string()).unwrap_or_default();
    if !error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>()) {
        let (client, error) = (client(), Excerpt(error));
        tracing::debug!(client, %error, "a client left before TLS was agreed on");
        return;
    }
    turned_away.note_bad_tls(|| (client(), Excerpt(error)));
}

/// The result of a read, with 0 bytes for the end of a TLS stream without `close_notify`. Many
/// clients close in this way. A line that is cut off is never carried out, since only whole lines
/// are commands.
pub(super) fn end_without_close_notify(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        result => result,
    }
}
