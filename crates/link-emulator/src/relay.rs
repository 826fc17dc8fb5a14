//! One direction: takes packets from one device, and hands each to the other when its time has
//! come.

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
/// Packets taken in before those that are due are looked at again.
const BURST: usize = 64;
/// Packets under way at the most: a bound for memory, far above what a test sends.
const UNDER_WAY_MAX: usize = 1_000_000;
/// A far link is served in ticks of this share of its delay, and of [`TICK_MAX`] at the most: woken
/// for every packet, the relay takes four times the processor time (240 µs for a job fetched and
/// acknowledged at 100 ms, against 65 where its packets come in a row), and takes it from what is
/// measured. A packet that comes alone is on time to the microsecond; in a row, each is as much
/// early as late: taken in up to a tick late, it is delivered up to a tick early.
const TICK_SHARE: u32 = 200;
/// See [`TICK_SHARE`].
const TICK_MAX: Duration = Duration::from_micros(250);
/// Shorter ones spare nothing.
const TICK_MIN: Duration = Duration::from_micros(50);
/// Low among the real-time priorities: above all that is measured, below the kernel's own.
const PRIORITY: u8 = 10;

/// What both directions and the link's owner share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cut: AtomicBool,
    /// Counts cuts: what was under way at one of them is gone, however short it was.
    pub(crate) cuts: AtomicU64,
    /// Set while a NAT is emulated: spares the others the lock.
    pub(crate) forgets: AtomicBool,
    pub(crate) flows: Mutex<Flows>,
    pub(crate) tolerance: Tolerance,
}

/// What belongs to one direction.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) settings: Mutex<Settings>,
    /// Counts changes of the settings.
    pub(crate) changes: AtomicU64,
    pub(crate) counters: Live,
    pub(crate) realtime: AtomicBool,
}

struct UnderWay {
    due: Instant,
    number: u64,
    cuts: u64,
    packet: Box<[u8]>,
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for UnderWay {}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

pub(crate) struct Relay {
    pub(crate) from: Arc<SyncDevice>,
    pub(crate) to: Arc<SyncDevice>,
    pub(crate) lane: Arc<Lane>,
    pub(crate) shared: Arc<Shared>,
    /// Which side it takes packets from: the near side is inside of a NAT.
    pub(crate) is_from_near: bool,
    pub(crate) seed: u64,
    /// Ends the relay when its other end is dropped.
    pub(crate) stop: PipeReader,
}

impl Relay {
    /// Runs until told to stop, on a thread of its own.
    pub(crate) fn run(self) {
        self.lane.realtime.store(become_realtime(), Ordering::Relaxed);
        let settings = self.lane.settings.lock().map(|settings| *settings).unwrap_or_default();
        let mut tick = tick(settings.delay);
        let mut shaper = Shaper::new(settings, Rng::with_seed(self.seed));
        let mut changes = self.lane.changes.load(Ordering::Acquire);
        let mut under_way: BinaryHeap<Reverse<UnderWay>> = BinaryHeap::new();
        let mut buffer = vec![0; PACKET_MAX];
        let mut number = 0;
        loop {
            let now_changes = self.lane.changes.load(Ordering::Acquire);
            if now_changes != changes {
                changes = now_changes;
                if let Ok(settings) = self.lane.settings.lock() {
                    shaper.set(*settings);
                    tick = self::tick(settings.delay);
                }
            }
            let delivered = self.deliver(&mut under_way, tick);
            let mut taken = 0;
            while taken < BURST {
                match self.from.recv(&mut buffer) {
                    Ok(length) => {
                        taken += 1;
                        number += 1;
                        let packet = buffer.get(..length).unwrap_or_default();
                        if let Some(due) = self.admit(packet, &mut shaper, under_way.len()) {
                            let cuts = self.shared.cuts.load(Ordering::Relaxed);
                            under_way.push(Reverse(UnderWay {
                                due,
                                number,
                                cuts,
                                packet: packet.into(),
                            }));
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => {
                        tracing::error!(%error, "the emulated link's device can't be read; the link ends");
                        count(&self.lane.counters.dropped_unasked, 1);
                        return;
                    }
                }
            }
            if taken == BURST {
                continue;
            }
            if !tick.is_zero() && (delivered || taken > 0) {
                std::thread::sleep(tick);
                continue;
            }
            let wait = under_way
                .peek()
                .map(|Reverse(next)| next.due.saturating_duration_since(Instant::now()));
            if wait.is_some_and(|wait| wait.is_zero()) {
                continue;
            }
            let mut descriptors = [
                PollFd::new(self.from.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.stop.as_fd(), PollFlags::POLLIN),
            ];
            let _ = ppoll(&mut descriptors, wait.map(TimeSpec::from_duration), None);
            let [_, stop] = &descriptors;
            if stop.revents().is_some_and(|events| !events.is_empty()) {
                return;
            }
        }
    }

    /// When the packet arrives; `None` where it does not.
    fn admit(&self, packet: &[u8], shaper: &mut Shaper, under_way: usize) -> Option<Instant> {
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
        if under_way >= UNDER_WAY_MAX {
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

    /// Whether there was any packet due, or due within so long.
    fn deliver(&self, under_way: &mut BinaryHeap<Reverse<UnderWay>>, early: Duration) -> bool {
        let counters = &self.lane.counters;
        let mut any = false;
        while let Some(Reverse(next)) = under_way.peek() {
            let now = Instant::now();
            if next.due > now + early {
                break;
            }
            let Some(Reverse(next)) = under_way.pop() else { break };
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

/// How long the relay rests while packets come in a row; zero where it must not.
fn tick(delay: Duration) -> Duration {
    let tick = (delay / TICK_SHARE).min(TICK_MAX);
    if tick < TICK_MIN { Duration::ZERO } else { tick }
}

/// Whether the thread runs before all that is measured. Without it, packets are late on a busy
/// machine, and the verdict says so.
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
