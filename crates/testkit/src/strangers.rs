//! Clients that connect and send nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Silent connections that are renewed one after the other, until this value is dropped.
pub struct Strangers {
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicU64>,
    renewing: Option<JoinHandle<()>>,
}

impl Strangers {
    /// Opens so many connections, from so many addresses of this machine (127.1.0.0 and those
    /// after it; one address is that of every other client), and renews each about every
    /// `renewed_after`.
    #[must_use]
    pub fn start(
        server: SocketAddr,
        connections: usize,
        addresses: u32,
        renewed_after: Duration,
    ) -> Self {
        raise_limit();
        let (stop, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&opened));
        let pause = renewed_after / u32::try_from(connections).unwrap();
        let renewing = std::thread::spawn(move || {
            let mut held: Vec<Option<Socket>> = Vec::new();
            held.resize_with(connections, || None);
            for (number, place) in (0_u32..).zip((0..connections).cycle()) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                if let Some(place) = held.get_mut(place) {
                    *place = None;
                    *place = connect(server, (addresses > 1).then_some(number % addresses));
                    counted.fetch_add(u64::from(place.is_some()), Ordering::Relaxed);
                }
                std::thread::sleep(pause);
            }
        });
        Self { stop, opened, renewing: Some(renewing) }
    }

    /// The connections that were opened so far.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(renewing) = self.renewing.take() {
            let _ = renewing.join();
        }
    }
}

/// Lets this process have as many connections open as the system allows: both ends are in it.
fn raise_limit() {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        // macOS accepts no more than 10,240.
        let set = |limit| setrlimit(Resource::RLIMIT_NOFILE, limit, hard).is_ok();
        let _ = set(hard) || set(hard.min(10_240));
    }
}

/// A connection from this address of the machine. `None` where the server is overrun.
fn connect(server: SocketAddr, from: Option<u32>) -> Option<Socket> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).ok()?;
    if let Some(nth) = from {
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 1).to_bits() + nth);
        socket.bind(&SocketAddr::from((address, 0)).into()).ok()?;
    }
    socket.connect_timeout(&server.into(), CONNECT).ok()?;
    Some(socket)
}
