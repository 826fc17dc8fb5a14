//! A batch of chunks for one PUSHB, and the meaning of the server's reply for each chunk.

use std::collections::HashSet;
use std::hash::BuildHasher;

use faktory_wire::{Excerpt, PushResults, Refusal, Reply, encode_pushb};
use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::chunk::Chunk;
use crate::connection::Flight;
use crate::outcome::{EncodedJob, JobOutcome};

/// The chunks of one PUSHB.
#[derive(Debug, Default)]
pub(crate) struct PushBatch {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) bytes: usize,
    pub(crate) jobs: usize,
    /// Hashes of the job ids in the batch. Two different ids with one hash merely go in different
    /// commands.
    ids: HashSet<u64, RandomState>,
    hashing: RandomState,
}

/// What remains to be done with a batch after the server's reply.
#[derive(Debug)]
pub(crate) enum AfterReply {
    /// Nothing: every caller has been told.
    Done,
    /// Each chunk is to be sent in a command of its own: the server refused the command as a whole,
    /// and no caller may suffer for the job of another.
    SendSeparately(Vec<Chunk>),
}

impl PushBatch {
    /// True where the chunk can go into this batch. A job id may not appear twice in one PUSHB,
    /// because the reply names jobs by their id.
    pub(crate) fn has_room_for(&self, chunk: &Chunk, jobs_max: usize, bytes_max: usize) -> bool {
        let repeats_id =
            || chunk.jobs.iter().any(|job| self.ids.contains(&self.hashing.hash_one(&job.jid)));
        self.chunks.is_empty()
            || (self.jobs + chunk.jobs.len() <= jobs_max
                && self.bytes + chunk.bytes <= bytes_max
                && !repeats_id())
    }

    pub(crate) fn add(&mut self, chunk: Chunk) {
        self.bytes += chunk.bytes;
        self.jobs += chunk.jobs.len();
        self.ids.extend(chunk.jobs.iter().map(|job| self.hashing.hash_one(&job.jid)));
        self.chunks.push(chunk);
    }

    /// Takes out the chunks whose callers wait no longer. To send them now would leave their reply
    /// no time.
    pub(crate) fn take_late(&mut self, now: Instant) -> Vec<Chunk> {
        let late: Vec<Chunk> = self.chunks.extract_if(.., |chunk| chunk.deadline <= now).collect();
        for chunk in &late {
            self.bytes -= chunk.bytes;
            self.jobs -= chunk.jobs.len();
        }
        late
    }

    /// Notes the command that carries the chunks.
    pub(crate) fn flies_with(&self, flight: &Option<Flight>) {
        self.chunks.iter().for_each(|chunk| chunk.claim.flies_with(flight.clone()));
    }

    /// The PUSHB command as one line.
    pub(crate) fn line(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.bytes + self.jobs + 16);
        let jobs = self.chunks.iter().flat_map(|chunk| &chunk.jobs);
        encode_pushb(jobs.map(|job| job.json.as_slice()), &mut line);
        line
    }

    /// Tells every caller that each of its jobs has this outcome.
    pub(crate) fn answer_all(self, outcome: &JobOutcome) {
        self.chunks.into_iter().for_each(|chunk| chunk.answer_all(outcome));
    }

    /// Tells every caller the outcomes that follow from the server's reply.
    pub(crate) fn settle(self, reply: &Reply) -> AfterReply {
        let results = match reply {
            Reply::Bulk(body) => match PushResults::parse(body) {
                Ok(results) => results,
                Err(error) => {
                    let detail =
                        format!("the reply to the push cannot be read: {}", Excerpt(error));
                    self.answer_all(&JobOutcome::Unknown(detail));
                    return AfterReply::Done;
                }
            },
            Reply::Error(text) => {
                let outcome = refused(text);
                if self.chunks.len() > 1 && Refusal::of(text) == Refusal::WholePush {
                    return AfterReply::SendSeparately(self.chunks);
                }
                self.answer_all(&outcome);
                return AfterReply::Done;
            }
            Reply::Simple(_) | Reply::Nothing => {
                let detail = "the reply is not one that a push can have";
                self.answer_all(&JobOutcome::Unknown(detail.into()));
                return AfterReply::Done;
            }
        };
        for chunk in self.chunks {
            let outcome =
                |job: &EncodedJob| results.refused(&job.jid).map_or(JobOutcome::Stored, refused);
            let outcomes = chunk.jobs.iter().map(outcome).collect();
            let _ = chunk.answer.send(outcomes);
        }
        AfterReply::Done
    }
}

/// The outcome of a job that the server refused with this error text.
fn refused(text: &str) -> JobOutcome {
    let shown = Excerpt(text.strip_prefix("ERR ").unwrap_or(text)).to_string();
    match Refusal::of(text) {
        Refusal::Job | Refusal::WholePush => JobOutcome::Rejected(shown),
        Refusal::Server => JobOutcome::ServerRefuses(shown),
        Refusal::Unknown => JobOutcome::Unknown(shown),
    }
}
