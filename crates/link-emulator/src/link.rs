//! Both namespaces, and the relay between them.

use std::io::{self, PipeWriter, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::SockRef;

use crate::counters::{self, DirectionCounters, Live, Tolerance, Verdict};
use crate::device;
use crate::flows::Flows;
use crate::namespace::Namespace;
use crate::relay::{Lane, Relay, Shared};
use crate::settings::{Direction, Settings};

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// Where the far side listens for a moment, to see which congestion control the kernel uses.
const PROBE_PORT: u16 = 9;
/// Its end arrives within microseconds; this only keeps a broken link from holding up the start.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a link is started with.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkConfig {
    /// From near to far.
    pub near_to_far: Settings,
    /// From far to near.
    pub far_to_near: Settings,
    /// The near side's TCP congestion control, such as `cubic` or `bbr`; the system's where not
    /// said. It governs what the near side sends.
    pub near_congestion: Option<String>,
    /// The far side's.
    pub far_congestion: Option<String>,
    /// From when on the emulator's own faults count.
    pub tolerance: Tolerance,
    /// For chance: the same seed gives the same losses to the same packets.
    pub seed: u64,
}

impl LinkConfig {
    /// The same in both directions, with the system's congestion control.
    #[must_use]
    pub fn both_ways(settings: Settings) -> Self {
        Self {
            near_to_far: settings,
            far_to_near: settings,
            near_congestion: None,
            far_congestion: None,
            tolerance: Tolerance::default(),
            seed: 1,
        }
    }
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The system does not let us make namespaces.
    #[error("failed to make a network namespace (root, or a user namespace, is needed): {0}")]
    Namespace(#[source] io::Error),
    /// The system does not let us make a TUN device.
    #[error("failed to make a TUN device (is /dev/net/tun there, and may it be opened?): {0}")]
    Device(#[source] io::Error),
    /// The kernel does not have it.
    #[error("the kernel refuses the congestion control {name:?}: {source}; it has {available}")]
    Congestion {
        /// What was asked for.
        name: String,
        /// What the kernel has.
        available: String,
        /// What it says.
        source: io::Error,
    },
    /// The relay has no threads.
    #[error("failed to start the relay: {0}")]
    Relay(#[source] io::Error),
}

/// The TCP congestion control of each end, as the kernel says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CongestionControl {
    /// Of the near side.
    pub near: String,
    /// Of the far side.
    pub far: String,
}

/// Two namespaces and the distance between them. Dropped, the relay ends, and commands in the
/// namespaces that asked for it ([`crate::die_with_parent`]) are told to end.
#[derive(Debug)]
pub struct Link {
    near: Namespace,
    far: Namespace,
    lanes: [Arc<Lane>; 2],
    shared: Arc<Shared>,
    tolerance: Tolerance,
    congestion: CongestionControl,
    /// Drops of the devices when the counters were reset.
    device_drops: Mutex<[u64; 2]>,
    stop: Vec<PipeWriter>,
    threads: Vec<JoinHandle<()>>,
}

impl Link {
    /// Makes the namespaces and the devices, and starts to relay.
    ///
    /// # Errors
    /// Where the system does not allow it, or does not have the congestion control asked for.
    pub fn start(config: LinkConfig) -> Result<Self, LinkError> {
        let near = Namespace::new().map_err(LinkError::Namespace)?;
        let far = Namespace::new().map_err(LinkError::Namespace)?;
        let near_device = Arc::new(device::open(&near, NEAR).map_err(LinkError::Device)?);
        let far_device = Arc::new(device::open(&far, FAR).map_err(LinkError::Device)?);
        choose_congestion(&near, NEAR, config.near_congestion.as_deref())?;
        choose_congestion(&far, FAR, config.far_congestion.as_deref())?;
        let lane = |settings| {
            Arc::new(Lane {
                settings: Mutex::new(settings),
                changes: AtomicU64::new(0),
                counters: Live::new(),
                realtime: AtomicBool::new(false),
            })
        };
        let shared = Arc::new(Shared {
            cut: AtomicBool::new(false),
            cuts: AtomicU64::new(0),
            forgets: AtomicBool::new(false),
            flows: Mutex::new(Flows::default()),
            tolerance: config.tolerance,
        });
        let mut link = Self {
            near,
            far,
            // Nothing is asked of the link until the kernel's choice is known.
            lanes: [lane(Settings::default()), lane(Settings::default())],
            congestion: CongestionControl::default(),
            shared,
            tolerance: config.tolerance,
            device_drops: Mutex::default(),
            stop: Vec::new(),
            threads: Vec::new(),
        };
        let [there, back] = link.lanes.clone();
        for (name, from, to, lane) in [
            ("link-there", &near_device, &far_device, there),
            ("link-back", &far_device, &near_device, back),
        ] {
            let (stop, keep) = io::pipe().map_err(LinkError::Relay)?;
            let seed = config.seed.wrapping_mul(2).wrapping_add(link.threads.len() as u64);
            let (from, to, shared) = (Arc::clone(from), Arc::clone(to), Arc::clone(&link.shared));
            let is_from_near = link.threads.is_empty();
            let relay = Relay { from, to, lane, shared, is_from_near, seed, stop };
            let thread = std::thread::Builder::new().name(name.into()).spawn(move || relay.run());
            link.threads.push(thread.map_err(LinkError::Relay)?);
            link.stop.push(keep);
        }
        link.congestion = read_congestion(&link.near, &link.far).map_err(LinkError::Relay)?;
        link.set(Direction::NearToFar, config.near_to_far);
        link.set(Direction::FarToNear, config.far_to_near);
        link.reset_counters();
        Ok(link)
    }

    /// The near side's namespace.
    #[must_use]
    pub const fn near(&self) -> &Namespace {
        &self.near
    }

    /// The far side's namespace.
    #[must_use]
    pub const fn far(&self) -> &Namespace {
        &self.far
    }

    /// The near side's address, in both namespaces.
    #[must_use]
    pub const fn near_address(&self) -> Ipv4Addr {
        NEAR
    }

    /// The far side's address, in both namespaces.
    #[must_use]
    pub const fn far_address(&self) -> Ipv4Addr {
        FAR
    }

    /// From now on; packets under way keep their time.
    pub fn set(&self, direction: Direction, settings: Settings) {
        let lane = self.lane(direction);
        if let Ok(mut current) = lane.settings.lock() {
            *current = settings;
        }
        lane.changes.fetch_add(1, Ordering::Release);
    }

    /// Drops everything, what is under way included, until [`Link::restore`].
    pub fn cut(&self) {
        self.shared.cut.store(true, Ordering::Relaxed);
        self.shared.cuts.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends a cut.
    pub fn restore(&self) {
        self.shared.cut.store(false, Ordering::Relaxed);
    }

    /// Behaves as a NAT does: a flow that was idle for so long is forgotten, and its packets vanish
    /// in both directions without a word. Only the near side, which is inside, begins flows; those
    /// that are there already are not known. `None` ends it.
    pub fn forget_idle_flows(&self, idle: Option<Duration>) {
        if let Ok(mut flows) = self.shared.flows.lock() {
            flows.forget_idle(idle);
        }
        self.shared.forgets.store(idle.is_some(), Ordering::Relaxed);
    }

    /// What the kernel uses at each end for connections through the link, as its sockets said at
    /// the start.
    #[must_use]
    pub const fn congestion_control(&self) -> &CongestionControl {
        &self.congestion
    }

    /// Whether the relay runs with real-time priority.
    #[must_use]
    pub fn is_realtime(&self) -> bool {
        self.lanes.iter().all(|lane| lane.realtime.load(Ordering::Relaxed))
    }

    /// What happened since the start, or since [`Link::reset_counters`].
    #[must_use]
    pub fn counters(&self, direction: Direction) -> DirectionCounters {
        let mut counters = self.lane(direction).counters.read();
        // A device drops what the relay did not take in time: that side's outgoing packets.
        let before = self.device_drops.lock().map(|drops| *drops).unwrap_or_default();
        let (namespace, [near, far]) = (self.sender(direction), before);
        let before = match direction {
            Direction::NearToFar => near,
            Direction::FarToNear => far,
        };
        // What can't be read can't be vouched for.
        counters.dropped_unasked +=
            device::drops(namespace).map_or(1, |drops| drops.saturating_sub(before));
        counters
    }

    /// Counts from zero again.
    pub fn reset_counters(&self) {
        for lane in &self.lanes {
            lane.counters.reset();
        }
        if let Ok(mut drops) = self.device_drops.lock() {
            *drops =
                [device::drops(&self.near).unwrap_or(0), device::drops(&self.far).unwrap_or(0)];
        }
    }

    /// Whether the emulator did what was asked of it, and nothing else, since the counters were
    /// reset.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        counters::verdict(
            &[self.counters(Direction::NearToFar), self.counters(Direction::FarToNear)],
            &self.tolerance,
        )
    }

    const fn lane(&self, direction: Direction) -> &Arc<Lane> {
        let [there, back] = &self.lanes;
        match direction {
            Direction::NearToFar => there,
            Direction::FarToNear => back,
        }
    }

    const fn sender(&self, direction: Direction) -> &Namespace {
        match direction {
            Direction::NearToFar => &self.near,
            Direction::FarToNear => &self.far,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn choose_congestion(
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

/// Asks the sockets of a connection through the link.
fn read_congestion(near: &Namespace, far: &Namespace) -> io::Result<CongestionControl> {
    let address = SocketAddr::from((FAR, PROBE_PORT));
    let listener = far.run(|| TcpListener::bind(address))??;
    let near_end = near.run(|| TcpStream::connect(address))??;
    let (far_end, _) = listener.accept()?;
    let name = |stream: &TcpStream| {
        let name = SockRef::from(stream).tcp_congestion()?;
        io::Result::Ok(String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned())
    };
    let congestion = CongestionControl { near: name(&near_end)?, far: name(&far_end)? };
    // Closed by a reset, which nobody answers: once the other end has it, nothing of this
    // connection is under way, and so nothing of it is counted with what the user sends.
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
