//! The TCP connection: trying the addresses of a host, and the options of the socket.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use faktory_wire::Excerpt;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpSocket, TcpStream};

use crate::config::LinkConfig;

/// Bytes that the system holds and has not sent yet, at the most. With more, a connection is full
/// for us, so that further jobs wait in the queue and can still leave over another connection.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOT_SENT_BYTES: u32 = 16 << 10;

/// True once a refused congestion control has been logged: one line is enough for all connections.
static REFUSAL_LOGGED: AtomicBool = AtomicBool::new(false);

/// Connects to the first address that answers. Each address has its share of the time; the error is
/// that of the last address. The result has the duration of TCP's handshake with it.
pub(super) async fn connect_first(
    config: &LinkConfig,
    addresses: &[SocketAddr],
) -> Result<(TcpStream, Duration)> {
    let mut failure = Error::new(ErrorKind::NotFound, "the host has no address");
    let share = config.connect_timeout / u32::try_from(addresses.len()).unwrap_or(1).max(1);
    for address in addresses {
        match deadline::timeout(share, connect(config, *address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = ErrorKind::TimedOut.into(),
        }
    }
    Err(failure)
}

async fn connect(config: &LinkConfig, address: SocketAddr) -> Result<(TcpStream, Duration)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Without this option a batch costs two round trips: its last segment waits for the
    // acknowledgement of the first.
    socket.set_tcp_nodelay(true)?;
    choose_congestion(config, &socket);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(NOT_SENT_BYTES)?;
    let begin = Instant::now();
    let stream = TcpSocket::from_std_stream(socket.into()).connect(address).await?;
    let distance = begin.elapsed();
    let socket = SockRef::from(&stream);
    // Linux waits for an interval after every probe, answered or not. An interval longer than the
    // idle time would let a NAT forget the connection.
    let interval = config.keepalive_interval.min(config.keepalive_idle);
    let keepalive = TcpKeepalive::new().with_time(config.keepalive_idle).with_interval(interval);
    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
    let keepalive = keepalive.with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    // Bytes that are never acknowledged end the connection, with keepalive or without.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(config.write_timeout))?;
    Ok((stream, distance))
}

/// Chooses the congestion control for what this side sends. The other side chooses its own.
fn choose_congestion(config: &LinkConfig, socket: &Socket) {
    let Some(name) = &config.congestion else { return };
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    let result = socket.set_tcp_congestion(name.as_bytes());
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    let result: Result<()> = {
        let _ = socket;
        Err(ErrorKind::Unsupported.into())
    };
    if let Err(error) = result
        && !REFUSAL_LOGGED.swap(true, Ordering::Relaxed)
    {
        let setting = config.setting_names.congestion;
        tracing::warn!(
            congestion = %Excerpt(name),
            %error,
            "the system refuses this congestion control ({setting}) and uses its own"
        );
    }
}
