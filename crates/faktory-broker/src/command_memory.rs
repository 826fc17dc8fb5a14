//! The memory of commands that were read and are not carried out yet, over all connections.

use std::sync::Arc;

use bytes::Bytes;
use faktory_wire::{
    ACK_JOBS_MAX, Command, CommandError, DoneJob, Job, MUTATE_IDS_MAX, PUSH_JOBS_MAX, PushGroup,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bytes of one permit.
const UNIT: usize = 1 << 10;
/// The memory that all connections share, in bytes.
const SHARED_BYTES: usize = 128 << 20;
/// The memory that a connection has for itself, in bytes. Small commands go on with it, whatever
/// other clients do to the shared memory.
const OWN_BYTES: usize = 64 << 10;
/// A longer line is parsed away from the threads that serve connections: 256 KiB take about 1 ms.
const LONG_LINE_BYTES: usize = 256 << 10;
/// The number of long lines that are parsed at a time.
const PARSERS: usize = 2;

/// The memory that all connections share.
#[derive(Debug, Clone)]
pub(crate) struct CommandMemory {
    shared: Arc<Semaphore>,
    parsers: Arc<Semaphore>,
}

/// The memory of one connection.
#[derive(Debug)]
pub(crate) struct ConnectionMemory {
    all: CommandMemory,
    own: Arc<Semaphore>,
}

/// The memory of a command. It is free again when the command has been answered.
pub(crate) type Reserved = OwnedSemaphorePermit;

impl CommandMemory {
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::new(Semaphore::new(SHARED_BYTES / UNIT)),
            parsers: Arc::new(Semaphore::new(PARSERS)),
        }
    }

    pub(crate) fn of_connection(&self) -> ConnectionMemory {
        ConnectionMemory { all: self.clone(), own: Arc::new(Semaphore::new(OWN_BYTES / UNIT)) }
    }
}

#[cfg(test)]
impl CommandMemory {
    /// Takes all parsers: no long line is parsed meanwhile.
    pub(crate) async fn take_parsers(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.parsers).acquire_many_owned(PARSERS as u32).await.unwrap()
    }
}

impl ConnectionMemory {
    /// True where a command of so many bytes takes memory that all connections share.
    pub(crate) const fn is_large(bytes: usize) -> bool {
        bytes > OWN_BYTES
    }

    /// Makes a command of a line, for which there is memory. `None` where the process ends. Cancel
    /// safe, except that the line is gone.
    pub(crate) async fn parse(&self, line: Bytes) -> Option<Result<Command, CommandError>> {
        if !is_long(&line) {
            return Some(Command::parse(&line));
        }
        let parser = Arc::clone(&self.all.parsers).acquire_owned().await.ok()?;
        let parsing = tokio::task::spawn_blocking(move || {
            let request = Command::parse(&line);
            drop((line, parser));
            request
        });
        parsing.await.ok()
    }

    /// The memory of a command of so many bytes, where what the connection has for itself suffices.
    pub(crate) fn try_own(&self, bytes: usize) -> Option<Reserved> {
        Arc::clone(&self.own).try_acquire_many_owned(units(bytes)).ok()
    }

    /// Waits for the memory of a command of so many bytes: that of the connection itself, or else
    /// of the shared memory, where either is free. `None` where the process ends. Cancel safe.
    pub(crate) async fn reserve(&self, bytes: usize) -> Option<Reserved> {
        if let Some(reserved) = self.try_own(bytes) {
            return Some(reserved);
        }
        let units = units(bytes);
        let shared = Arc::clone(&self.all.shared).acquire_many_owned(units);
        if units as usize > OWN_BYTES / UNIT {
            return shared.await.ok();
        }
        let own = Arc::clone(&self.own).acquire_many_owned(units);
        tokio::select! {
            reserved = own => reserved.ok(),
            reserved = shared => reserved.ok(),
        }
    }
}

/// True for a line that is parsed away from the threads that serve connections.
pub(crate) const fn is_long(line: &Bytes) -> bool {
    line.len() > LONG_LINE_BYTES
}

/// The permits of a command of so many bytes.
fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT).clamp(1, SHARED_BYTES / UNIT)).unwrap_or(u32::MAX)
}

/// About the memory of a command in bytes: its line, and what is made beside the text for each job,
/// id or name in it.
pub(crate) fn bytes_of(line: &[u8]) -> usize {
    let count = |byte: u8| memchr::memchr_iter(byte, line).count();
    let beside = if line.starts_with(b"PUSHB") {
        count(b'{').min(PUSH_JOBS_MAX) * size_of::<Job>()
    } else if line.starts_with(b"WF PUSHB") {
        // A job, or a group of jobs.
        count(b'{').min(2 * PUSH_JOBS_MAX) * size_of::<Job>().max(size_of::<PushGroup>())
    } else if line.starts_with(b"MUTATE") {
        count(b',').min(MUTATE_IDS_MAX) * 2 * size_of::<String>()
    } else if line.starts_with(b"WF ACK") {
        count(b'[').min(ACK_JOBS_MAX) * size_of::<DoneJob>()
    } else if line.starts_with(b"WF FETCH") {
        count(b',') * 256
    } else if line.starts_with(b"FETCH") || line.starts_with(b"QUEUE") {
        // A FETCH that waits is in a map for each of its names.
        count(b' ') * 256
    } else {
        0
    };
    line.len() + beside
}

#[cfg(test)]
mod tests {
    use super::*;

    /// True where the future is not done at once.
    async fn waits<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
        tokio::select! {
            biased;
            _ = future => false,
            () = std::future::ready(()) => true,
        }
    }

    #[tokio::test]
    async fn small_commands_go_on_where_the_shared_memory_is_used_up() {
        let all = CommandMemory::new();
        let (greedy, honest) = (all.of_connection(), all.of_connection());
        let held = greedy.reserve(SHARED_BYTES).await.unwrap();
        let small = honest.reserve(OWN_BYTES).await.unwrap();
        let mut next = Box::pin(honest.reserve(1));
        let mut large = Box::pin(honest.reserve(OWN_BYTES + 1));
        assert!(waits(&mut next).await && waits(&mut large).await);
        drop(small);
        assert!(!waits(&mut next).await, "the connection's own memory is free again");
        drop(held);
        assert!(!waits(&mut large).await);
        assert!(!waits(&mut Box::pin(honest.reserve(usize::MAX))).await, "more than there is");
    }

    #[tokio::test]
    async fn a_long_line_becomes_the_same_command_as_a_short_one() {
        let memory = CommandMemory::new().of_connection();
        for count in [1, 20_000] {
            let line = format!("PUSHB [{}]", vec![r#"{"jid":"job-00000001"}"#; count].join(","));
            let request = memory.parse(line.clone().into()).await.unwrap();
            assert_eq!(request, Command::parse(line.as_bytes()));
        }
    }

    #[test]
    fn many_tiny_jobs_ids_and_names_count_more_than_their_text() {
        assert_eq!(bytes_of(b"ACK {}"), 6);
        assert_eq!(bytes_of(b"PUSHB [{},{}]"), 13 + 2 * size_of::<Job>());
        assert!(bytes_of(br#"WF PUSHB {"jobs":[{},{}]}"#) > 3 * size_of::<Job>());
        assert_eq!(bytes_of(b"WF ACK [[],[]]"), 14 + 3 * size_of::<DoneJob>());
        assert!(bytes_of(br#"WF FETCH {"n":1,"queues":["a","b"]}"#) > 500);
        assert!(bytes_of(b"MUTATE [1,2]") > 40 && bytes_of(b"FETCH a b") > 500);
    }
}
