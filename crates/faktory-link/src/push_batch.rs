//! A batch of chunks for one PUSHB, and the meaning of the server's reply for each chunk.

use std::collections::HashSet;
use std::hash::BuildHasher;

use faktory_wire::{Excerpt, PushResults, Refusal, Reply, encode_push_once, encode_pushb};
use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::chunk::Chunk;
use crate::connection::Flight;
use crate::outcome::{EncodedJob, JobOutcome};
use crate::terms::groups;

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
    /// The batch is to be sent again: it may be stored, and the work server remembers ids.
    SendAgain(PushBatch),
}

/// What a reply says of the jobs of its command.
enum Verdict {
    /// The jobs that were refused.
    Each(PushResults),
    /// The same for every job.
    All(JobOutcome),
}

impl Verdict {
    fn of(reply: &Reply) -> Self {
        let unknown = |detail: String| Self::All(JobOutcome::Unknown(detail));
        match reply {
            Reply::Bulk(body) => match PushResults::parse(body) {
                Ok(results) => Self::Each(results),
                Err(error) => {
                    unknown(format!("the reply to the push cannot be read: {}", Excerpt(error)))
                }
            },
            Reply::Error(text) => Self::All(refused(text)),
            Reply::Simple(_) | Reply::Nothing => {
                unknown("the reply is not one that a push can have".into())
            }
        }
    }

    fn on(&self, job: &EncodedJob) -> JobOutcome {
        match self {
            Self::Each(results) => results.refused(&job.jid).map_or(JobOutcome::Stored, refused),
            Self::All(outcome) => outcome.clone(),
        }
    }
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

    /// Takes out the chunks that may no longer be sent: their callers wait no longer, so that their
    /// reply would have no time, or the work server may have forgotten their ids.
    pub(crate) fn take_late(&mut self, now: Instant) -> Vec<Chunk> {
        self.take(|chunk| chunk.until().is_none_or(|until| until <= now))
    }

    /// Takes out the chunks whose terms a work server with so many seconds of memory does not keep.
    pub(crate) fn take_not_kept_for(&mut self, once: u32) -> Vec<Chunk> {
        self.take(|chunk| !chunk.is_kept_for(once))
    }

    fn take(&mut self, is_taken: impl Fn(&Chunk) -> bool) -> Vec<Chunk> {
        let taken: Vec<Chunk> = self.chunks.extract_if(.., |chunk| is_taken(chunk)).collect();
        for chunk in &taken {
            self.bytes -= chunk.bytes;
            self.jobs -= chunk.jobs.len();
        }
        taken
    }

    /// When the first of the chunks may no longer be sent; `None` without chunks.
    pub(crate) fn first_due(&self) -> Option<Instant> {
        self.chunks.iter().map(|chunk| chunk.until().unwrap_or(chunk.deadline)).min()
    }

    /// Whether all chunks, in a command that left then for a work server that remembers ids for
    /// `once` seconds, may be sent again.
    pub(crate) fn may_be_sent_again(&self, left: Instant, once: u32) -> bool {
        let now = Instant::now();
        self.chunks.iter().all(|chunk| chunk.may_be_sent_again(left, once, now))
    }

    /// Notes the command that carries the chunks.
    pub(crate) fn flies_with(&self, flight: &Option<Flight>) {
        self.chunks.iter().for_each(|chunk| chunk.claim.flies_with(flight.clone()));
    }

    /// The command as one line: a `WF PUSHB` for a work server that remembers ids for `once`
    /// seconds, and a PUSHB where these are 0.
    pub(crate) fn line(&self, once: u32) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.bytes + self.jobs + 32);
        let jobs = || self.chunks.iter().flat_map(|chunk| &chunk.jobs);
        let json = jobs().map(|job| job.json.as_slice());
        if once > 0 {
            encode_push_once(&groups(jobs().map(|job| job.terms.as_deref())), json, &mut line);
        } else {
            encode_pushb(json, &mut line);
        }
        line
    }

    /// Tells every caller that each of its jobs had this outcome with its latest command.
    pub(crate) fn answer_all(self, outcome: &JobOutcome) {
        self.chunks.into_iter().for_each(|chunk| chunk.answer_all(outcome));
    }

    /// Tells every caller whose jobs may be stored by a command that left then, and may not be sent
    /// again. The others remain, to be sent again.
    pub(crate) fn may_be_stored(self, why: &str, left: Instant, once: u32) -> AfterReply {
        self.sort(&Verdict::All(JobOutcome::Unknown(why.to_owned())), left, once)
    }

    /// Tells every caller that its jobs did not leave, with this outcome, unless they have left
    /// before: these remain, to be sent again.
    pub(crate) fn never_left(mut self, outcome: &JobOutcome) -> AfterReply {
        let new = self.take(|chunk| !chunk.may_be_stored());
        new.into_iter().for_each(|chunk| chunk.answer_all(outcome));
        if self.chunks.is_empty() { AfterReply::Done } else { AfterReply::SendAgain(self) }
    }

    /// Tells every caller the outcomes that follow from the reply to a command that left then, for
    /// a work server that remembers ids for `once` seconds.
    pub(crate) fn settle(self, reply: &Reply, left: Instant, once: u32) -> AfterReply {
        match reply {
            Reply::Error(text)
                if self.chunks.len() > 1 && Refusal::of(text) == Refusal::WholePush =>
            {
                AfterReply::SendSeparately(self.chunks)
            }
            reply => self.sort(&Verdict::of(reply), left, once),
        }
    }

    /// Tells the callers whose outcomes are known, or may not become known; the others remain.
    fn sort(self, verdict: &Verdict, left: Instant, once: u32) -> AfterReply {
        let mut again = Self::default();
        for mut chunk in self.chunks {
            let outcome = |job| chunk.outcome(verdict.on(job));
            let outcomes: Vec<JobOutcome> = chunk.jobs.iter().map(outcome).collect();
            let unknown = outcomes.iter().find_map(|outcome| match outcome {
                JobOutcome::Unknown(why) => Some(why),
                _ => None,
            });
            if let Some(why) = unknown {
                chunk.note_may_be_stored(why, left, once);
                if chunk.until().is_some_and(|until| until > Instant::now()) {
                    again.add(chunk);
                    continue;
                }
            }
            // An error means that the caller has gone.
            let _ = chunk.answer.send(outcomes);
        }
        if again.chunks.is_empty() { AfterReply::Done } else { AfterReply::SendAgain(again) }
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
