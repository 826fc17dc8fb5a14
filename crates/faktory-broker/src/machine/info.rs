//! INFO: counts and sizes, as Faktory reports them.
//!
//! With many queues an INFO is written in slices, and the INFOs that wait meanwhile share the next
//! one. An INFO is begun after all commands that were answered before it, so it shows them.

use std::collections::BTreeMap;

use bytes::Bytes;
use faktory_wire::{FaktoryInfo, Info, InfoWriter, Reply, ServerInfo, TaskInfo};

use super::connections::State;
use super::{ConnectionId, Machine, Now};

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
/// The queues of an INFO that count as one step of work, because they are only read in memory.
const QUEUES_OF_A_STEP: usize = 50;

/// A larger INFO is not begun at once but by the next slice, so that those who ask at the same time
/// share it.
const AT_ONCE_BYTES_MAX: usize = 64 << 10;

/// The INFOs that are to be answered.
#[derive(Debug, Default)]
pub(super) struct Infos {
    /// Connections that get the next answer.
    waiting: Vec<ConnectionId>,
    current: Option<CurrentInfo>,
}

/// An answer that is being written.
#[derive(Debug)]
struct CurrentInfo {
    connections: Vec<ConnectionId>,
    writer: InfoWriter,
    /// The id of the last queue in the answer.
    after: u32,
}

impl Infos {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The connections that wait for an answer.
    pub(super) fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        let current = self.current.iter().flat_map(|current| &current.connections);
        self.waiting.iter().chain(current).copied()
    }

    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.waiting.retain(|other| *other != connection);
        if let Some(current) = &mut self.current {
            current.connections.retain(|other| *other != connection);
        }
    }
}

impl Machine {
    pub(super) fn start_info(&mut self, now: Now, connection: ConnectionId) {
        self.connections.set_state(connection, State::Busy);
        self.infos.waiting.push(connection);
        // Where an answer is being written, the task is among the others.
        if self.infos.current.is_some() || self.infos.waiting.len() > 1 {
            return;
        }
        if self.queues.info_bytes() <= AT_ONCE_BYTES_MAX {
            self.advance_info(now);
        } else {
            self.tasks.push_info();
        }
    }

    /// Goes on with INFOs that waited until replies were written.
    pub(super) fn resume_infos(&mut self) {
        self.tasks.push_info();
    }

    /// Writes the next queues of an answer, and sends the answer where it is complete.
    pub(super) fn advance_info(&mut self, now: Now) {
        let mut current = match self.infos.current.take() {
            Some(current) => current,
            None if self.infos.waiting.is_empty() => return,
            None if self.queues.info_bytes() > self.replies.room() => {
                return self.replies.let_infos_wait();
            }
            None => CurrentInfo {
                connections: std::mem::take(&mut self.infos.waiting),
                writer: InfoWriter::with_capacity(self.queues.info_bytes()),
                after: 0,
            },
        };
        let mut done = false;
        while !done && !self.work.is_spent() {
            let before = current.writer.bytes();
            let mut count = 0;
            for (id, queue) in self.queues.after(current.after, QUEUES_OF_A_STEP) {
                current.after = id;
                count += 1;
                if queue.known {
                    current.writer.queue(&queue.name, queue.length);
                }
            }
            self.work.spend(1, current.writer.bytes() - before);
            done = count < QUEUES_OF_A_STEP;
        }
        if done {
            self.answer_infos(now, current);
        } else {
            self.infos.current = Some(current);
        }
        let waiting = !self.infos.waiting.is_empty() && !self.replies.do_infos_wait();
        if self.infos.current.is_some() || waiting {
            self.tasks.push_info();
        }
    }

    /// Answers the connections for which there is room; the others get an answer that is begun when
    /// there is room again.
    fn answer_infos(&mut self, now: Now, current: CurrentInfo) {
        let body = Bytes::from(current.writer.finish(&self.info(now)));
        for connection in current.connections {
            if body.len() > self.replies.room() {
                self.infos.waiting.push(connection);
                self.replies.let_infos_wait();
                continue;
            }
            self.answer(connection, Reply::Bulk(body.clone()));
            self.unblock(connection);
        }
    }

    /// Everything but the queues.
    fn info(&self, now: Now) -> Info {
        let sets = self.counters.sets;
        let mover = |enqueued, size| TaskInfo {
            cycles: Some(0),
            enqueued: Some(enqueued),
            size,
            wall_time_sec: Some(0.0),
            reaped: None,
        };
        let reaper = |reaped, size| TaskInfo { reaped: Some(reaped), size, ..TaskInfo::default() };
        let tasks = BTreeMap::from([
            ("Busy".to_owned(), reaper(self.counts.expired, sets.working)),
            ("Dead".to_owned(), mover(0, sets.dead)),
            ("Retries".to_owned(), mover(self.counts.retries_enqueued, sets.retries)),
            ("Scheduled".to_owned(), mover(self.counts.scheduled_enqueued, sets.scheduled)),
            ("Workers".to_owned(), reaper(self.workers.reaped, self.workers.len() as u64)),
        ]);
        Info {
            now: now.wall.to_string(),
            server_utc_time: now.wall.time_of_day(),
            faktory: FaktoryInfo {
                total_enqueued: 0,
                total_queues: 0,
                queues: BTreeMap::new(),
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
                command_count: self.counts.commands,
                used_memory_mb: self.used_memory_mb,
                work_factory: self.broker_counts,
            },
        }
    }
}
