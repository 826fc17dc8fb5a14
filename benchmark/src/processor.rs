//! Processor time and memory of processes, from proc(5).

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// The longest wait for an idle process.
const IDLE_WITHIN: Duration = Duration::from_secs(15);
/// The number of looks in a row that must find a process idle: one look may fall into a pause.
const IDLE_LOOKS: usize = 10;
/// The length of a tick, in nanoseconds.
const TICK_NS: u64 = 10_000_000;
/// The time between two looks.
const LOOK: Duration = Duration::from_millis(30);

/// The resources that processes have used so far, by their names in reports.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usage {
    /// Nanoseconds of processor time.
    pub(crate) processor_ns: BTreeMap<&'static str, u64>,
    /// Resident memory in bytes.
    pub(crate) resident: BTreeMap<&'static str, u64>,
    /// The largest resident memory so far, in bytes.
    pub(crate) peak: BTreeMap<&'static str, u64>,
    machine: Machine,
}

/// The machine's processor time in ticks of 10 ms.
#[derive(Debug, Clone, Copy, Default)]
struct Machine {
    all: u64,
    /// The part in which a process or the kernel ran.
    busy: u64,
    /// The part that other machines on the same hardware have taken.
    stolen: u64,
}

impl Usage {
    /// The use of these processes together with their children.
    pub(crate) fn now(processes: &[(&'static str, u32)]) -> Self {
        let mut usage = Self { machine: machine().unwrap_or_default(), ..Self::default() };
        let parents = parents();
        for (name, id) in processes {
            let mut family = vec![*id];
            let mut at = 0;
            while let Some(parent) = family.get(at).copied() {
                // The children of this program are parts, which count by themselves.
                if parent != std::process::id() {
                    family.extend(
                        parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child),
                    );
                }
                at += 1;
            }
            let sum = |of: fn(u32) -> Option<u64>| family.iter().filter_map(|id| of(*id)).sum();
            usage.processor_ns.insert(name, sum(processor_ns));
            usage.resident.insert(name, sum(|id| memory(id, "VmRSS:")));
            usage.peak.insert(name, sum(|id| memory(id, "VmHWM:")));
        }
        usage
    }

    /// The share of the machine's processor time since `before` that other machines took.
    pub(crate) fn stolen_share(&self, before: &Self) -> f64 {
        self.share(before, |machine| machine.stolen)
    }

    /// The share of the machine's processor time since `before` that none of these processes took,
    /// but others.
    pub(crate) fn others_share(&self, before: &Self) -> f64 {
        let known = |usage: &Self| usage.processor_ns.values().sum::<u64>();
        let known_ns = known(self).saturating_sub(known(before)) as f64;
        let all_ns = self.machine.all.saturating_sub(before.machine.all) as f64 * TICK_NS as f64;
        let known = if all_ns > 0.0 { known_ns / all_ns } else { 0.0 };
        (self.share(before, |machine| machine.busy) - known).max(0.0)
    }

    fn share(&self, before: &Self, of: fn(Machine) -> u64) -> f64 {
        let all = self.machine.all.saturating_sub(before.machine.all);
        let part = of(self.machine).saturating_sub(of(before.machine));
        if all == 0 { 0.0 } else { part as f64 / all as f64 }
    }
}

/// Waits until these processes and their children use less than a fifth of a processor together,
/// for no longer than 15 s.
pub(crate) fn wait_until_idle(ids: &[u32]) {
    let of = |id: &u32| Usage::now(&[("it", *id)]).processor_ns.get("it").copied();
    let used = || ids.iter().filter_map(of).sum::<u64>();
    let give_up = Instant::now() + IDLE_WITHIN;
    let (mut before, mut idle) = (used(), 0);
    while idle < IDLE_LOOKS && Instant::now() < give_up {
        std::thread::sleep(LOOK);
        let now = used();
        idle = if now.saturating_sub(before) < LOOK.as_nanos() as u64 / 5 { idle + 1 } else { 0 };
        before = now;
    }
}

/// The sum over a process's threads of the first number of `schedstat`: nanoseconds on a processor.
fn processor_ns(id: u32) -> Option<u64> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).ok()?;
    let of = |entry: fs::DirEntry| -> Option<u64> {
        fs::read_to_string(entry.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    let alive: u64 = threads.filter_map(Result::ok).filter_map(of).sum();
    // Threads that have ended count only here, in ticks of 10 ms.
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let ticks: u64 = stat
        .rsplit_once(") ")?
        .1
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Some(alive.max(ticks * TICK_NS))
}

fn memory(id: u32, which: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(which))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Each process and its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name stands in parentheses and may hold anything.
            let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            Some((id, parent))
        })
        .collect()
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn machine() -> Option<Machine> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let numbers: Vec<u64> = stat
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .filter_map(|number| number.parse().ok())
        .collect();
    let all = numbers.iter().take(8).sum();
    let (idle, waiting, stolen) = (*numbers.get(3)?, *numbers.get(4)?, *numbers.get(7)?);
    Some(Machine { all, busy: all - idle - waiting - stolen, stolen })
}
