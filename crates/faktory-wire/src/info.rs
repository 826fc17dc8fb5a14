//! INFO: the counts and sizes that a server reports about itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The answer to INFO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// The time of the server, RFC 3339.
    pub now: String,
    /// The time of day at the server, `HH:MM:SS UTC`.
    pub server_utc_time: String,
    /// Counts of jobs.
    pub faktory: FaktoryInfo,
    /// The state of the process.
    pub server: ServerInfo,
}

/// Counts of jobs: waiting, in each set, and ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaktoryInfo {
    /// The number of jobs that wait in each queue.
    pub queues: BTreeMap<String, u64>,
    /// The number of jobs in each set.
    pub sets: SetSizes,
    /// The periodic tasks of the server, by name.
    pub tasks: BTreeMap<String, TaskInfo>,
    /// Failures since the store was made or flushed, with expired reservations.
    pub total_failures: u64,
    /// Runs that ended since the store was made or flushed, by success or failure.
    pub total_processed: u64,
    /// The number of jobs that wait in all queues.
    pub total_enqueued: u64,
    /// The number of queues.
    pub total_queues: u64,
}

/// The number of jobs in each set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SetSizes {
    /// Jobs that failed and are not tried again.
    pub dead: u64,
    /// Jobs that failed and will be tried again.
    pub retries: u64,
    /// Jobs that are not yet due.
    pub scheduled: u64,
    /// Jobs that are reserved: fetched and not finished.
    pub working: u64,
}

/// A periodic task of the server. Each task has some of the members only.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Reservations or workers that the task ended because their time was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaped: Option<u64>,
    /// The number of times that the task ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycles: Option<u64>,
    /// Jobs that the task moved into their queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enqueued: Option<u64>,
    /// The number of things that the task looks after.
    pub size: u64,
    /// Seconds that the task has taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_time_sec: Option<f64>,
}

/// The state of the server's process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServerInfo {
    /// The name of the server.
    pub description: String,
    /// The version of Faktory whose protocol the server speaks.
    pub faktory_version: String,
    /// Seconds since the start.
    pub uptime: u64,
    /// Open connections.
    pub connections: u64,
    /// Commands since the start.
    pub command_count: u64,
    /// Memory in use, in MB.
    pub used_memory_mb: u64,
}
