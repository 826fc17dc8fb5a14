//! INFO: the counts and sizes that a server reports about itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::object_writer::{ObjectWriter, write_json, write_string};

/// The bytes of an INFO without its queues, and a few more.
const ROOM_FOR_THE_REST: usize = 2 << 10;

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

/// An INFO that is written queue by queue, where a server has so many queues that the whole map is
/// never built at once.
#[derive(Debug)]
pub struct InfoWriter {
    out: Vec<u8>,
    count: u64,
    enqueued: u64,
}

impl InfoWriter {
    /// A writer with memory for queues whose JSON has this many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes + ROOM_FOR_THE_REST);
        out.extend_from_slice(br#"{"faktory":{"queues":{"#);
        Self { out, count: 0, enqueued: 0 }
    }

    /// Adds a queue, once each.
    pub fn queue(&mut self, name: &str, length: u64) {
        if self.count > 0 {
            self.out.push(b',');
        }
        write_string(&mut self.out, name);
        self.out.push(b':');
        self.out.extend_from_slice(length.to_string().as_bytes());
        self.count += 1;
        self.enqueued += length;
    }

    /// The bytes that have been written so far.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.out.len()
    }

    /// The answer as JSON. The queues are those that were added, and so are the totals that
    /// concern queues, whatever `info` says about them.
    #[must_use]
    pub fn finish(self, info: &Info) -> Vec<u8> {
        let Self { mut out, count, enqueued } = self;
        out.push(b'}');
        let mut members = ObjectWriter::continued(&mut out);
        members.member("sets", |out| write_json(out, &info.faktory.sets));
        members.member("tasks", |out| write_json(out, &info.faktory.tasks));
        members.number("total_failures", info.faktory.total_failures);
        members.number("total_processed", info.faktory.total_processed);
        members.number("total_enqueued", enqueued);
        members.number("total_queues", count);
        members.end();
        let mut members = ObjectWriter::continued(&mut out);
        members.string("now", &info.now);
        members.string("server_utc_time", &info.server_utc_time);
        members.member("server", |out| write_json(out, &info.server));
        members.end();
        out
    }
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
    /// What only a broker of Work Factory tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_factory: Option<BrokerCounts>,
}

/// What a broker of Work Factory has turned away since its start. Each member has the name of a
/// metric; where that has a label, the member is an object whose members are the label's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BrokerCounts {
    /// Clients that did not know the password.
    #[serde(rename = "work_factory_broker_wrong_passwords_total")]
    pub wrong_passwords: u64,
    /// Connections that were turned away, by reason.
    #[serde(rename = "work_factory_broker_connections_turned_away_total")]
    pub connections_turned_away: ConnectionsTurnedAway,
    /// Commands that were refused for want of memory, by the memory.
    #[serde(rename = "work_factory_broker_commands_refused_total")]
    pub commands_refused: CommandsRefused,
    /// Pushes that were refused, because the disk was nearly full.
    #[serde(rename = "work_factory_broker_pushes_refused_total")]
    pub pushes_refused: u64,
    /// Bytes that are free on the disk of the store; 0 where that is not known.
    #[serde(rename = "work_factory_broker_disk_free_bytes")]
    pub disk_free: u64,
    /// Blocks of the store that are not what was written, met since the start.
    #[serde(rename = "work_factory_broker_bad_blocks")]
    pub bad_blocks: u64,
    /// Sorted files of the store with such a block, or that can't be read.
    #[serde(rename = "work_factory_broker_files_set_aside")]
    pub files_set_aside: u64,
    /// Ids of jobs that are remembered, about.
    #[serde(rename = "work_factory_broker_remembered_ids")]
    pub remembered_ids: u64,
    /// Seconds for which ids of jobs are surely remembered.
    #[serde(rename = "work_factory_broker_dedup_window_seconds")]
    pub dedup_window: u64,
    /// Pushes that stored nothing, because their ids were remembered.
    #[serde(rename = "work_factory_broker_duplicates_total")]
    pub duplicates: u64,
}

/// Connections that were turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionsTurnedAway {
    /// Closed before their HELLO was accepted, to make room for new ones.
    pub made_room: u64,
    /// Refused, because every place belonged to a known client.
    pub too_many: u64,
}

/// Commands that were refused for want of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandsRefused {
    /// That for commands which have not arrived as a whole; the connection was ended.
    pub arriving: u64,
    /// That for commands which have arrived and are not answered.
    pub unanswered: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_info_that_is_written_queue_by_queue_reads_as_the_whole() {
        let task = TaskInfo { reaped: Some(1), size: 2, ..TaskInfo::default() };
        let work_factory = Some(BrokerCounts { wrong_passwords: 8, ..BrokerCounts::default() });
        for queues in
            [vec![], vec![("default".to_owned(), 3)], vec![("a".into(), 1), ("b".into(), 2)]]
        {
            let info = Info {
                now: "2026-01-02T03:04:05Z".into(),
                server_utc_time: "03:04:05 UTC".into(),
                faktory: FaktoryInfo {
                    total_enqueued: queues.iter().map(|(_, length)| length).sum(),
                    total_queues: queues.len() as u64,
                    queues: queues.into_iter().collect(),
                    sets: SetSizes { dead: 1, retries: 2, scheduled: 3, working: 4 },
                    tasks: BTreeMap::from([("Busy".to_owned(), task.clone())]),
                    total_failures: 5,
                    total_processed: 6,
                },
                server: ServerInfo { uptime: 7, work_factory, ..ServerInfo::default() },
            };
            let mut writer = InfoWriter::with_capacity(0);
            for (name, length) in &info.faktory.queues {
                writer.queue(name, *length);
            }
            let json = writer.finish(&info);
            assert_eq!(serde_json::from_slice::<Info>(&json).unwrap(), info);
        }
    }
}
