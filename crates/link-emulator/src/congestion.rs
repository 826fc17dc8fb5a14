//! The TCP congestion control of both ends: chosen by the user, read from the kernel.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::SockRef;

use crate::config::LinkError;
use crate::device;
use crate::namespace::Namespace;

/// The far side's port for a probe of the congestion control.
const PROBE_PORT: u16 = 9;
/// The longest wait for the end of the probe. The end comes within microseconds; this bound only
/// keeps a broken link from delaying the start.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The TCP congestion control of each end, as the kernel says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CongestionControl {
    /// Of the near side.
    pub near: String,
    /// Of the far side.
    pub far: String,
}

/// Chooses the congestion control of one end, where a name is given.
pub(crate) fn choose(
    namespace: &Namespace,
    address: Ipv4Addr,
    name: Option<&str>,
) -> Result<(), LinkError> {
    let Some(name) = name else { return Ok(()) };
    device::choose_congestion(namespace, address, name).map_err(|source| LinkError::Congestion {
        name: name.to_owned(),
        available: std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        source,
    })
}

/// The congestion control of both ends, as the sockets of a connection through the link tell it.
pub(crate) fn read(
    near: &Namespace,
    far: &Namespace,
    far_address: Ipv4Addr,
) -> io::Result<CongestionControl> {
    let address = SocketAddr::from((far_address, PROBE_PORT));
    let listener = far.run(|| TcpListener::bind(address))??;
    let near_end = near.run(|| TcpStream::connect(address))??;
    let (far_end, _) = listener.accept()?;
    let name = |stream: &TcpStream| {
        let name = SockRef::from(stream).tcp_congestion()?;
        io::Result::Ok(String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned())
    };
    let congestion = CongestionControl { near: name(&near_end)?, far: name(&far_end)? };
    // Closed by a reset, which has no answer: once the far end has the reset, no packet of this
    // connection is in flight, and no such packet is counted among the user's packets.
    SockRef::from(&near_end).set_linger(Some(Duration::ZERO))?;
    drop(near_end);
    far_end.set_read_timeout(Some(PROBE_TIMEOUT))?;
    match (&far_end).read(&mut [0]) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
        {
            Err(error)
        }
        _ => Ok(congestion),
    }
}
