#![doc = include_str!("../README.md")]

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// The connections that may wait to be accepted: as many as Linux allows by default
/// (`net.core.somaxconn`, which caps this). Clients that connect at once, such as workers after a
/// restart, wait in this queue; the attempts of those that find it full are dropped by the system,
/// and tried again after 1 s, 3 s, 7 s and so on. The 128 of a listener that asks for no number are
/// fewer than there are places.
pub const BACKLOG: u32 = 4096;

/// Listens on an address, with a queue of [`BACKLOG`] connections that wait to be accepted. To be
/// called within a Tokio runtime.
///
/// # Errors
/// What the system says, such as that the address is in use.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As Tokio's own listener has it: a port that was listened on just before can be taken again.
    // On Windows this would let two processes listen on one port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    /// Where the queue is full, a client tries again for minutes.
    const LONG: std::time::Duration = std::time::Duration::from_secs(60);

    #[tokio::test]
    async fn many_clients_connect_at_once_while_none_is_accepted() {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> =
            (0..400).map(|_| TcpStream::connect_timeout(&address, LONG).unwrap()).collect();
        for client in &clients {
            let (_stream, from) = listener.accept().await.unwrap();
            assert_eq!(from, client.local_addr().unwrap(), "in their order");
        }
    }

    #[tokio::test]
    async fn a_port_that_was_listened_on_can_be_listened_on_again_at_once() {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect_timeout(&address, LONG).unwrap();
        // This side closes first, and its end of the connection stays for a minute.
        drop(listener.accept().await.unwrap());
        drop((listener, client));
        assert_eq!(listen(address).unwrap().local_addr().unwrap(), address);
    }
}
