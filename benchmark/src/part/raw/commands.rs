//! Prepared commands: their bytes are made once, and only the job ids change from one to the next.

use faktory_wire::{Job, RawJson};

use super::QUEUE;
use crate::part::order::RawWork;

/// The hexadecimal digits of a job id that count the jobs of a connection.
const COUNTED: usize = 8;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Where jobs go, and when.
pub(super) struct Destination {
    pub(super) queue: String,
    /// RFC 3339, where jobs are scheduled.
    pub(super) at: Option<String>,
}

/// The commands of one connection, as many copies as may be in flight.
pub(super) struct Commands {
    bytes: Vec<u8>,
    /// The length of one command.
    length: usize,
    /// The places of the counted digits in all copies, in order.
    places: Vec<usize>,
    /// Jobs in one command.
    jobs: usize,
    /// The number of the next job.
    next: u32,
}

impl Commands {
    /// The commands of the connection `lane`; the ids begin with `run` and the connection's number,
    /// so that no other run and no other connection has the same.
    pub(super) fn new(
        (work, of): (RawWork, &Destination),
        run: u64,
        lane: u32,
        copies: usize,
    ) -> Self {
        let command = command(work, of, &format!("{run:016x}{lane:08x}"));
        let mark = format!("{lane:08x}{}", "0".repeat(COUNTED));
        let found: Vec<usize> = memchr::memmem::find_iter(&command, mark.as_bytes())
            .map(|at| at + mark.len() - COUNTED)
            .collect();
        let length = command.len();
        let places =
            (0..copies).flat_map(|copy| found.iter().map(move |at| copy * length + at)).collect();
        Self { bytes: command.repeat(copies), length, places, jobs: found.len(), next: 0 }
    }

    /// The bytes of this many commands, each of whose jobs has an id of its own; of no more than
    /// there are copies.
    pub(super) fn next(&mut self, count: usize) -> &[u8] {
        for place in self.places.iter().take(count * self.jobs) {
            if let Some(digits) = self.bytes.get_mut(*place..*place + COUNTED) {
                write_number(digits, self.next);
            }
            self.next = self.next.wrapping_add(1);
        }
        self.bytes.get(..count * self.length).unwrap_or_default()
    }
}

/// The length of a PUSH of one job, in bytes.
pub(crate) fn line_length() -> usize {
    let to = Destination { queue: QUEUE.into(), at: None };
    command(RawWork::Push, &to, &"0".repeat(24)).len()
}

fn command(work: RawWork, to: &Destination, id_begins: &str) -> Vec<u8> {
    let mut job = Vec::new();
    Job {
        jid: format!("{id_begins}{}", "0".repeat(COUNTED)),
        jobtype: "add".into(),
        args: Some(RawJson::from_checked("[2,3]".into())),
        retry: Some(faktory_wire::DEFAULT_RETRY),
        reserve_for: Some(faktory_wire::DEFAULT_RESERVE_FOR),
        // As most users' jobs, those of the default queue do not name it.
        queue: (to.queue != QUEUE).then(|| to.queue.clone()),
        at: to.at.clone(),
        ..Job::default()
    }
    .encode(&mut job);
    match work {
        RawWork::Push | RawWork::Cycle => [b"PUSH ", job.as_slice(), b"\r\n"].concat(),
        RawWork::PushBatch(jobs) => {
            let jobs = vec![job; jobs].join(b",".as_slice());
            [b"PUSHB [", jobs.as_slice(), b"]\r\n"].concat()
        }
        RawWork::FetchAck => fetch(&to.queue),
    }
}

/// The FETCH of a job from a queue.
pub(super) fn fetch(queue: &str) -> Vec<u8> {
    format!("FETCH {queue}\r\n").into_bytes()
}

fn write_number(digits: &mut [u8], number: u32) {
    let mut left = number;
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS.get(left as usize & 15).copied().unwrap_or_default();
        left >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The jobs of pushes, as a work server reads them.
    fn ids(bytes: &[u8]) -> Vec<String> {
        let lines = std::str::from_utf8(bytes).unwrap().lines();
        lines
            .flat_map(|line| {
                let json = line.split_once(' ').unwrap().1;
                let jobs: serde_json::Value = serde_json::from_str(json).unwrap();
                let jobs = jobs.as_array().cloned().unwrap_or_else(|| vec![jobs]);
                jobs.iter().map(|job| job["jid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
            })
            .collect()
    }

    fn to(queue: &str) -> Destination {
        Destination { queue: queue.into(), at: None }
    }

    #[test]
    fn every_job_of_a_run_has_an_id_of_its_own() {
        for (work, jobs) in [(RawWork::Push, 1), (RawWork::PushBatch(100), 100)] {
            let mut found = Vec::new();
            for lane in [0, 1, 0x1000] {
                let mut commands = Commands::new((work, &to(QUEUE)), 7, lane, 3);
                found.extend([3, 1, 2].iter().flat_map(|count| ids(commands.next(*count))));
            }
            assert_eq!(found.len(), 3 * 6 * jobs);
            assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len());
            assert!(found.iter().all(|id| id.len() == 32));
        }
    }

    #[test]
    fn a_scheduled_job_names_its_time_and_a_queue_that_is_not_the_default_one() {
        let to = Destination { queue: "q".into(), at: Some("2026-01-02T03:04:05Z".into()) };
        let line = String::from_utf8(command(RawWork::Push, &to, "")).unwrap();
        let job = Job::parse(line.trim_start_matches("PUSH ").trim_end().as_bytes()).unwrap();
        assert_eq!((job.queue, job.at), (Some(to.queue), to.at));
    }

    #[test]
    fn a_fetch_is_sent_as_it_is() {
        let mut commands = Commands::new((RawWork::FetchAck, &to("q")), 1, 0, 4);
        assert_eq!(commands.next(2), b"FETCH q\r\nFETCH q\r\n");
    }
}
