//! The relay of one direction: takes packets from one device, and hands each packet to the other
//! device when the packet is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{ErrorKind, PipeReader};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
};
use tun_rs::SyncDevice;

use crate::counters::{Live, Tolerance, count};
use crate::flows::Flows;
use crate::settings::Settings;
use crate::shaper::{Fate, Shaper};

/// The largest IP packet.
const PACKET_MAX: usize = 65_535;
/// The most packets that are taken before due packets are delivered.
const BURST: usize = 64;
/// The most packets in flight: a bound for memory, far above the need of a test.
const IN_FLIGHT_MAX: usize = 1_000_000;
/// The tick of a link is its delay divided by this, and at most [`TICK_MAX`]. A relay that wakes
/// for every packet needs four times the processor time (240 µs instead of 65 µs for a job fetched
/// and acknowledged at 100 ms), which the measured processes then lack. A single packet is on time
/// to the microsecond. In a row of packets, each is early by as much as late: the relay takes a
/// packet up to a tick late, and delivers it up to a tick early.
const TICK_SHARE: u32 = 200;
/// The longest tick; see [`TICK_SHARE`].
const TICK_MAX: Duration = Duration::from_micros(250);
/// The shortest tick: a shorter tick saves no processor time.
const TICK_MIN: Duration = Duration::from_micros(50);
/// The relay's real-time priority, a low one: above all measured processes, below the kernel.
const PRIORITY: u8 = 10;

/// The state that both directions and the link's owner share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cut: AtomicBool,
    /// The number of cuts: a packet in flight at a cut is lost, however short the cut is.
    pub(crate) cuts: AtomicU64,
    /// True while a NAT is emulated; otherwise packets need not take the lock of the flows.
    pub(crate) forgets: AtomicBool,
    pub(crate) flows: Mutex<Flows>,
    pub(crate) tolerance: Tolerance,
}

/// The state of one direction, which the relay and the link's owner share.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) settings: Mutex<Settings>,
    /// The number of changes of the settings.
    pub(crate) changes: AtomicU64,
    pub(crate) counters: Live,
    pub(crate) realtime: AtomicBool,
}

/// A packet in flight, ordered by its due time.
struct InFlight {
    due: Instant,
    number: u64,
    /// The number of cuts when the packet was taken.
    cuts: u64,
    packet: Box<[u8]>,
}

impl PartialEq for InFlight {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for InFlight {}

impl PartialOrd for InFlight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for InFlight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

/// The relay of one direction, before it runs.
pub(crate) struct Relay {
    pub(crate) from: Arc<SyncDevice>,
    pub(crate) to: Arc<SyncDevice>,
    pub(crate) lane: Arc<Lane>,
    pub(crate) shared: Arc<Shared>,
    /// Whether packets come from the near side, which is the inside of a NAT.
    pub(crate) is_from_near: bool,
    pub(crate) seed: u64,
    /// The relay ends when the other end of this pipe is dropped.
    pub(crate) stop: PipeReader,
}

/// The result of taking packets from the device.
enum Taken {
    /// This many packets.
    Packets(usize),
    /// The device can't be read: the link ends.
    DeviceFailed,
}

/// A relay at work: its packets in flight, and the settings that it has seen last.
struct Running {
    relay: Relay,
    shaper: Shaper,
    tick: Duration,
    /// The changes of the settings that are applied.
    changes: u64,
    in_flight: BinaryHeap<Reverse<InFlight>>,
    buffer: Vec<u8>,
    /// The number of the last packet.
    number: u64,
}

impl Relay {
    /// Runs until the other end of `stop` is dropped, on a thread of its own.
    pub(crate) fn run(self) {
        self.lane.realtime.store(become_realtime(), Ordering::Relaxed);
        let settings = self.lane.settings.lock().map(|settings| *settings).unwrap_or_default();
        Running {
            tick: tick(settings.delay),
            shaper: Shaper::new(settings, Rng::with_seed(self.seed)),
            changes: self.lane.changes.load(Ordering::Acquire),
            in_flight: BinaryHeap::new(),
            buffer: vec![0; PACKET_MAX],
            number: 0,
            relay: self,
        }
        .run();
    }
}

impl Running {
    fn run(&mut self) {
        loop {
            self.apply_changes();
            let delivered = self.relay.deliver(&mut self.in_flight, self.tick);
            let taken = match self.take() {
                Taken::Packets(taken) => taken,
                Taken::DeviceFailed => return,
            };
            if taken == BURST {
                continue;
            }
            if !self.tick.is_zero() && (delivered || taken > 0) {
                std::thread::sleep(self.tick);
                continue;
            }
            let wait = self
                .in_flight
                .peek()
                .map(|Reverse(next)| next.due.saturating_duration_since(Instant::now()));
            if wait.is_some_and(|wait| wait.is_zero()) {
                continue;
            }
            if self.relay.wait(wait) == Woken::ToStop {
                return;
            }
        }
    }

    fn apply_changes(&mut self) {
        let changes = self.relay.lane.changes.load(Ordering::Acquire);
        if changes != self.changes {
            self.changes = changes;
            if let Ok(settings) = self.relay.lane.settings.lock() {
                self.shaper.set(*settings);
                self.tick = tick(settings.delay);
            }
        }
    }

    /// Takes the packets that the device has, up to [`BURST`].
    fn take(&mut self) -> Taken {
        let relay = &self.relay;
        let mut taken = 0;
        while taken < BURST {
            match relay.from.recv(&mut self.buffer) {
                Ok(length) => {
                    taken += 1;
                    self.number += 1;
                    let packet = self.buffer.get(..length).unwrap_or_default();
                    if let Some(due) = relay.admit(packet, &mut self.shaper, self.in_flight.len()) {
                        let cuts = relay.shared.cuts.load(Ordering::Relaxed);
                        let (number, packet) = (self.number, packet.into());
                        self.in_flight.push(Reverse(InFlight { due, number, cuts, packet }));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::error!(%error, "the link's device can't be read; the link ends");
                    count(&relay.lane.counters.dropped_unasked, 1);
                    return Taken::DeviceFailed;
                }
            }
        }
        Taken::Packets(taken)
    }
}

/// The end of a wait.
#[derive(Debug, PartialEq, Eq)]
enum Woken {
    ToWork,
    ToStop,
}

impl Relay {
    /// Waits until a packet comes, until the time has passed, or until the relay is to stop.
    fn wait(&self, time: Option<Duration>) -> Woken {
        let mut descriptors = [
            PollFd::new(self.from.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.stop.as_fd(), PollFlags::POLLIN),
        ];
        let _ = ppoll(&mut descriptors, time.map(TimeSpec::from_duration), None);
        let [_, stop] = &descriptors;
        if stop.revents().is_some_and(|events| !events.is_empty()) {
            Woken::ToStop
        } else {
            Woken::ToWork
        }
    }

    /// The time at which a packet is due; `None` where the packet does not arrive.
    fn admit(&self, packet: &[u8], shaper: &mut Shaper, in_flight: usize) -> Option<Instant> {
        let counters = &self.lane.counters;
        if self.shared.cut.load(Ordering::Relaxed) {
            count(&counters.cut, 1);
            return None;
        }
        let now = Instant::now();
        if self.shared.forgets.load(Ordering::Relaxed)
            && !self
                .shared
                .flows
                .lock()
                .is_ok_and(|mut flows| flows.pass(packet, now, self.is_from_near))
        {
            count(&counters.forgotten, 1);
            return None;
        }
        if in_flight >= IN_FLIGHT_MAX {
            count(&counters.dropped_unasked, 1);
            return None;
        }
        match shaper.fate(now, packet.len()) {
            Fate::Arrives(due) => return Some(due),
            Fate::Lost => count(&counters.lost, 1),
            Fate::QueueFull => count(&counters.queue_full, 1),
        }
        None
    }

    /// Delivers the packets that are due within `early`; returns whether there were any.
    fn deliver(&self, in_flight: &mut BinaryHeap<Reverse<InFlight>>, early: Duration) -> bool {
        let counters = &self.lane.counters;
        let mut any = false;
        while let Some(Reverse(next)) = in_flight.peek() {
            let now = Instant::now();
            if next.due > now + early {
                break;
            }
            let Some(Reverse(next)) = in_flight.pop() else { break };
            any = true;
            if next.cuts != self.shared.cuts.load(Ordering::Relaxed) {
                count(&counters.cut, 1);
                continue;
            }
            match self.to.send(&next.packet) {
                Ok(_) => counters.delivered(
                    next.packet.len(),
                    now.saturating_duration_since(next.due),
                    &self.shared.tolerance,
                ),
                Err(_) => count(&counters.dropped_unasked, 1),
            }
        }
        any
    }
}

/// The rest of the relay while packets come in a row; zero for a link too near to rest.
fn tick(delay: Duration) -> Duration {
    let tick = (delay / TICK_SHARE).min(TICK_MAX);
    if tick < TICK_MIN { Duration::ZERO } else { tick }
}

/// Gives the thread real-time priority; returns whether that worked. Without this priority, packets
/// are late on a busy machine, and the verdict says so.
fn become_realtime() -> bool {
    let Ok(value) = ThreadPriorityValue::try_from(PRIORITY) else { return false };
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let thread = thread_priority::thread_native_id();
    thread_priority::set_thread_priority_and_policy(
        thread,
        ThreadPriority::Crossplatform(value),
        policy,
    )
    .is_ok()
}
