//! INFO: the server's account of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// The server's time, RFC 3339.
    pub now: String,
    /// The server's time of day, `HH:MM:SS UTC`.
    pub server_utc_time: String,
    /// Jobs.
    pub faktory: FaktoryInfo,
    /// The process.
    pub server: ServerInfo,
}

/// Jobs, by where they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaktoryInfo {
    /// Jobs waiting in each queue.
    pub queues: BTreeMap<String, u64>,
    /// Jobs in each set.
    pub sets: SetSizes,
    /// Periodic tasks, by name.
    pub tasks: BTreeMap<String, TaskInfo>,
    /// Failures since the beginning, expired reservations included.
    pub total_failures: u64,
    /// Jobs that ended, well or not, since the beginning.
    pub total_processed: u64,
    /// Jobs waiting in queues now.
    pub total_enqueued: u64,
    /// Queues known.
    pub total_queues: u64,
}

/// Jobs in each set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SetSizes {
    /// Failed for good.
    pub dead: u64,
    /// To be tried again.
    pub retries: u64,
    /// For later.
    pub scheduled: u64,
    /// Fetched and not finished.
    pub working: u64,
}

/// One periodic task; which members it has depends on the task.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Things it ended because nobody cared for them any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaped: Option<u64>,
    /// Runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycles: Option<u64>,
    /// Jobs that it moved on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enqueued: Option<u64>,
    /// What it looks after.
    pub size: u64,
    /// Seconds spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_time_sec: Option<f64>,
}

/// The process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServerInfo {
    /// What it is.
    pub description: String,
    /// Its version.
    pub faktory_version: String,
    /// Seconds since it started.
    pub uptime: u64,
    /// Connections now.
    pub connections: u64,
    /// Commands since it started.
    pub command_count: u64,
    /// Memory in use, in MB.
    pub used_memory_mb: u64,
}
