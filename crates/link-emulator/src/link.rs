//! The link: both namespaces, and the relays between them.

use std::io::{self, PipeWriter};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tun_rs::SyncDevice;

use crate::config::{LinkConfig, LinkError};
use crate::congestion::{self, CongestionControl};
use crate::counters::{self, DirectionCounters, Live, Tolerance, Verdict};
use crate::device;
use crate::flows::Flows;
use crate::namespace::Namespace;
use crate::relay::{Lane, Relay, Shared};
use crate::settings::{Direction, Settings};

/// The near side's address, in both namespaces.
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The far side's address, in both namespaces.
const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// Two namespaces and the distance between them. When the link is dropped, the relays end, and
/// commands in the namespaces that called [`crate::die_with_parent`] are told to end.
#[derive(Debug)]
pub struct Link {
    near: Namespace,
    far: Namespace,
    lanes: [Arc<Lane>; 2],
    shared: Arc<Shared>,
    tolerance: Tolerance,
    congestion: CongestionControl,
    /// The devices' counts of dropped packets when the counters were reset.
    device_drops: Mutex<[u64; 2]>,
    stop: Vec<PipeWriter>,
    threads: Vec<JoinHandle<()>>,
}

impl Link {
    /// Makes the namespaces and the devices, and starts the relays.
    ///
    /// # Errors
    /// Where the system does not allow that, or does not have the chosen congestion control.
    pub fn start(config: LinkConfig) -> Result<Self, LinkError> {
        let near = Namespace::new().map_err(LinkError::Namespace)?;
        let far = Namespace::new().map_err(LinkError::Namespace)?;
        let near_device = Arc::new(device::open(&near, NEAR).map_err(LinkError::Device)?);
        let far_device = Arc::new(device::open(&far, FAR).map_err(LinkError::Device)?);
        congestion::choose(&near, NEAR, config.near_congestion.as_deref())?;
        congestion::choose(&far, FAR, config.far_congestion.as_deref())?;
        let mut link = Self {
            near,
            far,
            // Without delay or loss until the kernel's congestion control is read.
            lanes: [lane(), lane()],
            congestion: CongestionControl::default(),
            shared: Arc::new(Shared {
                cut: AtomicBool::new(false),
                cuts: AtomicU64::new(0),
                forgets: AtomicBool::new(false),
                flows: Mutex::new(Flows::default()),
                tolerance: config.tolerance,
            }),
            tolerance: config.tolerance,
            device_drops: Mutex::default(),
            stop: Vec::new(),
            threads: Vec::new(),
        };
        link.start_relays(&near_device, &far_device, config.seed)?;
        link.congestion = congestion::read(&link.near, &link.far, FAR).map_err(LinkError::Relay)?;
        link.set(Direction::NearToFar, config.near_to_far);
        link.set(Direction::FarToNear, config.far_to_near);
        link.reset_counters();
        Ok(link)
    }

    fn start_relays(
        &mut self,
        near: &Arc<SyncDevice>,
        far: &Arc<SyncDevice>,
        seed: u64,
    ) -> Result<(), LinkError> {
        let [there, back] = self.lanes.clone();
        for (name, from, to, lane) in
            [("link-there", near, far, there), ("link-back", far, near, back)]
        {
            let (stop, keep) = io::pipe().map_err(LinkError::Relay)?;
            let seed = seed.wrapping_mul(2).wrapping_add(self.threads.len() as u64);
            let (from, to, shared) = (Arc::clone(from), Arc::clone(to), Arc::clone(&self.shared));
            let is_from_near = self.threads.is_empty();
            let relay = Relay { from, to, lane, shared, is_from_near, seed, stop };
            let thread = std::thread::Builder::new().name(name.into()).spawn(move || relay.run());
            self.threads.push(thread.map_err(LinkError::Relay)?);
            self.stop.push(keep);
        }
        Ok(())
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

    /// Sets one direction from now on; packets in flight keep their time.
    pub fn set(&self, direction: Direction, settings: Settings) {
        let lane = self.lane(direction);
        if let Ok(mut current) = lane.settings.lock() {
            *current = settings;
        }
        lane.changes.fetch_add(1, Ordering::Release);
    }

    /// Drops all packets, packets in flight included, until [`Link::restore`].
    pub fn cut(&self) {
        self.shared.cut.store(true, Ordering::Relaxed);
        self.shared.cuts.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends a cut.
    pub fn restore(&self) {
        self.shared.cut.store(false, Ordering::Relaxed);
    }

    /// Behaves as a NAT does: forgets a flow that was idle for this time, and drops the packets of
    /// an unknown flow in both directions, without any answer. Only the near side, which is the
    /// inside, begins flows; the flows that exist already are unknown. `None` ends this.
    pub fn forget_idle_flows(&self, idle: Option<Duration>) {
        if let Ok(mut flows) = self.shared.flows.lock() {
            flows.forget_idle(idle);
        }
        self.shared.forgets.store(idle.is_some(), Ordering::Relaxed);
    }

    /// The congestion control that the kernel uses at each end for connections through the link,
    /// read at the start.
    #[must_use]
    pub const fn congestion_control(&self) -> &CongestionControl {
        &self.congestion
    }

    /// Whether the relays run with real-time priority.
    #[must_use]
    pub fn is_realtime(&self) -> bool {
        self.lanes.iter().all(|lane| lane.realtime.load(Ordering::Relaxed))
    }

    /// The counters of one direction since the start, or since [`Link::reset_counters`].
    #[must_use]
    pub fn counters(&self, direction: Direction) -> DirectionCounters {
        let mut counters = self.lane(direction).counters.read();
        // A device drops outgoing packets of its side that the relay did not take in time.
        let before = self.device_drops.lock().map(|drops| *drops).unwrap_or_default();
        let (namespace, [near, far]) = (self.sender(direction), before);
        let before = match direction {
            Direction::NearToFar => near,
            Direction::FarToNear => far,
        };
        // Where the device's count can't be read, one dropped packet is assumed.
        counters.dropped_unasked +=
            device::drops(namespace).map_or(1, |drops| drops.saturating_sub(before));
        counters
    }

    /// Sets all counters to zero.
    pub fn reset_counters(&self) {
        for lane in &self.lanes {
            lane.counters.reset();
        }
        if let Ok(mut drops) = self.device_drops.lock() {
            *drops =
                [device::drops(&self.near).unwrap_or(0), device::drops(&self.far).unwrap_or(0)];
        }
    }

    /// Whether the emulator did exactly what the settings say since the counters were reset.
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

fn lane() -> Arc<Lane> {
    Arc::new(Lane {
        settings: Mutex::default(),
        changes: AtomicU64::new(0),
        counters: Live::new(),
        realtime: AtomicBool::new(false),
    })
}
