//! Jobs of several callers on their way in one PUSHB, and what the answer to it means for each of
//! them.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use faktory_wire::{PushResults, Refusal, Reply, encode_pushb};
use foldhash::fast::RandomState;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::outcome::{EncodedJob, JobOutcome};
use crate::pusher::Room;

/// How far a part has come. The caller gives up by taking it from `WAITING` to `GIVEN_UP`; the
/// sender claims it by taking it from `WAITING` to `CLAIMED`. Whoever is first is right.
const WAITING: u8 = 0;
const CLAIMED: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Shared by the caller who waits for a part and the task that sends it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claim(Arc<AtomicU8>);

impl Claim {
    /// For the sender: true where the caller still wants it sent.
    pub(crate) fn claim(&self) -> bool {
        self.0.compare_exchange(WAITING, CLAIMED, Ordering::AcqRel, Ordering::Acquire)
            != Err(GIVEN_UP)
    }

    /// For the caller: true where it has not been and will not be sent.
    pub(crate) fn give_up(&self) -> bool {
        self.0.compare_exchange(WAITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire)
            != Err(CLAIMED)
    }
}

/// One caller's jobs, or some of them: what is never divided.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) jobs: Vec<EncodedJob>,
    pub(crate) bytes: usize,
    pub(crate) claim: Claim,
    pub(crate) answer: oneshot::Sender<Vec<JobOutcome>>,
    /// From when it waits.
    pub(crate) since: Instant,
    /// Its caller's share of the room for all jobs.
    pub(crate) _room: Arc<Room>,
}

impl Part {
    pub(crate) fn answer_all(self, outcome: &JobOutcome) {
        let outcomes = vec![outcome.clone(); self.jobs.len()];
        // Nobody there: the caller has gone.
        let _ = self.answer.send(outcomes);
    }
}

/// What goes into one PUSHB.
#[derive(Debug, Default)]
pub(crate) struct PushBatch {
    pub(crate) parts: Vec<Part>,
    pub(crate) bytes: usize,
    pub(crate) jobs: usize,
    /// Hashes of the jobs' ids: two that share one by chance only go in different commands.
    ids: HashSet<u64, RandomState>,
    hashing: RandomState,
}

/// What is to be done with a batch after the server's answer.
#[derive(Debug)]
pub(crate) enum After {
    /// Everyone has been told.
    Done,
    /// The push was refused as a whole: each caller's part is to be sent by itself, so that nobody
    /// pays for another's.
    Apart(Vec<Part>),
}

impl PushBatch {
    /// True where the part can go along: the answer names jobs by id, so no id may stand there
    /// twice.
    pub(crate) fn has_room_for(&self, part: &Part, jobs_max: usize, bytes_max: usize) -> bool {
        self.parts.is_empty()
            || (self.jobs + part.jobs.len() <= jobs_max
                && self.bytes + part.bytes <= bytes_max
                && !part.jobs.iter().any(|job| self.ids.contains(&self.hashing.hash_one(&job.jid))))
    }

    pub(crate) fn add(&mut self, part: Part) {
        self.bytes += part.bytes;
        self.jobs += part.jobs.len();
        self.ids.extend(part.jobs.iter().map(|job| self.hashing.hash_one(&job.jid)));
        self.parts.push(part);
    }

    pub(crate) fn line(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.bytes + self.jobs + 16);
        let jobs = self.parts.iter().flat_map(|part| &part.jobs);
        encode_pushb(jobs.map(|job| job.json.as_slice()), &mut line);
        line
    }

    pub(crate) fn answer_all(self, outcome: &JobOutcome) {
        self.parts.into_iter().for_each(|part| part.answer_all(outcome));
    }

    /// Tells every caller what the server's answer means for his jobs.
    pub(crate) fn settle(self, reply: &Reply) -> After {
        let results = match reply {
            Reply::Bulk(body) => match PushResults::parse(body) {
                Ok(results) => results,
                Err(error) => {
                    self.answer_all(&JobOutcome::Unknown(format!(
                        "the answer to the push can't be read: {error}"
                    )));
                    return After::Done;
                }
            },
            Reply::Error(text) => {
                let outcome = refused(text);
                if self.parts.len() > 1 && Refusal::of(text) == Refusal::WholePush {
                    return After::Apart(self.parts);
                }
                self.answer_all(&outcome);
                return After::Done;
            }
            Reply::Simple(_) | Reply::Nothing => {
                self.answer_all(&JobOutcome::Unknown("the answer to the push is none".into()));
                return After::Done;
            }
        };
        for part in self.parts {
            let outcome =
                |job: &EncodedJob| results.refused(&job.jid).map_or(JobOutcome::Stored, refused);
            let outcomes = part.jobs.iter().map(outcome).collect();
            let _ = part.answer.send(outcomes);
        }
        After::Done
    }
}

fn refused(text: &str) -> JobOutcome {
    let shown = text.strip_prefix("ERR ").unwrap_or(text).to_owned();
    match Refusal::of(text) {
        Refusal::Job | Refusal::WholePush => JobOutcome::Rejected(shown),
        Refusal::Server => JobOutcome::ServerRefuses(shown),
        Refusal::Unknown => JobOutcome::Unknown(shown),
    }
}
