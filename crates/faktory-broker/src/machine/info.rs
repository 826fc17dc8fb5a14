//! INFO: counts and sizes, as Faktory reports them.

use std::collections::BTreeMap;

use bytes::Bytes;
use faktory_wire::{FaktoryInfo, Info, Reply, ServerInfo, TaskInfo};

use super::{Machine, Now};

/// The counts of commands and background work since the start.
#[derive(Debug, Default)]
pub(super) struct TaskCounts {
    pub(super) commands: u64,
    pub(super) expired: u64,
    pub(super) scheduled_enqueued: u64,
    pub(super) retries_enqueued: u64,
}

/// The release of Faktory whose protocol the broker speaks. Clients check this text.
const FAKTORY_VERSION: &str = "1.10.0";

impl Machine {
    pub(super) fn info(&self, now: Now) -> Reply {
        let sets = self.counters.sets;
        let queues: BTreeMap<String, u64> =
            self.queues.known().map(|queue| (queue.name.clone(), queue.length)).collect();
        let mover = |enqueued, size| TaskInfo {
            cycles: Some(0),
            enqueued: Some(enqueued),
            size,
            wall_time_sec: Some(0.0),
            reaped: None,
        };
        let reaper = |reaped, size| TaskInfo { reaped: Some(reaped), size, ..TaskInfo::default() };
        let tasks = BTreeMap::from([
            ("Busy".to_owned(), reaper(self.tasks.expired, sets.working)),
            ("Dead".to_owned(), mover(0, sets.dead)),
            ("Retries".to_owned(), mover(self.tasks.retries_enqueued, sets.retries)),
            ("Scheduled".to_owned(), mover(self.tasks.scheduled_enqueued, sets.scheduled)),
            ("Workers".to_owned(), reaper(self.workers.reaped, self.workers.len() as u64)),
        ]);
        let info = Info {
            now: now.wall.to_string(),
            server_utc_time: now.wall.time_of_day(),
            faktory: FaktoryInfo {
                total_enqueued: queues.values().sum(),
                total_queues: queues.len() as u64,
                queues,
                sets,
                tasks,
                total_failures: self.counters.failures,
                total_processed: self.counters.processed,
            },
            server: ServerInfo {
                description: concat!("Work Factory broker ", env!("CARGO_PKG_VERSION")).into(),
                faktory_version: FAKTORY_VERSION.into(),
                uptime: now.monotonic.as_secs(),
                connections: self.connections.len() as u64,
                command_count: self.tasks.commands,
                used_memory_mb: self.used_memory_mb,
            },
        };
        serde_json::to_vec(&info)
            .map_or_else(|_| Reply::error("internal error"), |body| Reply::Bulk(Bytes::from(body)))
    }
}
