//! Posting any number of jobs, divided into requests. What an answer means for its jobs is in
//! `batch/settle.rs`.

mod settle;

use std::ops::Range;

use futures_util::StreamExt;
use futures_util::stream;

use self::settle::Chunk;
use crate::builder::Client;
use crate::new_job::NewJob;
use crate::outcome::JobOutcome;
use crate::retry::Patience;

impl Client {
    /// Posts jobs in as few requests as the limits of [`Builder`](crate::Builder) allow, several at
    /// once. Returns one outcome for each job, in the order of the jobs. Jobs that are certainly
    /// not stored are sent again while attempts are left; others only with their whole request,
    /// under its key.
    ///
    /// Either all jobs of a request are valid, or none of them is stored: one invalid job keeps the
    /// others of its request from being stored.
    ///
    /// Not cancel safe: dropped, the outcomes are not known.
    pub async fn post_batch(&self, jobs: &[NewJob]) -> Vec<JobOutcome> {
        let chunks = stream::iter(
            self.chunks(jobs)
                .into_iter()
                .map(|range| self.post_chunk(range.start, jobs.get(range).unwrap_or_default())),
        );
        let outcomes: Vec<Vec<JobOutcome>> = chunks.buffered(self.chunks_in_flight).collect().await;
        outcomes.into_iter().flatten().collect()
    }

    /// Divides jobs into requests.
    fn chunks(&self, jobs: &[NewJob]) -> Vec<Range<usize>> {
        let mut chunks = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (index, job) in jobs.iter().enumerate() {
            if index > start
                && (index - start >= self.chunk_jobs || bytes + job.size() > self.chunk_bytes)
            {
                chunks.push(start..index);
                (start, bytes) = (index, 0);
            }
            bytes += job.size() + 1;
        }
        if start < jobs.len() {
            chunks.push(start..jobs.len());
        }
        chunks
    }

    /// Posts the jobs of one request, of which the first is number `first` of the caller's jobs.
    async fn post_chunk(&self, first: usize, jobs: &[NewJob]) -> Vec<JobOutcome> {
        let mut chunk = Chunk::new(first, jobs.len());
        let mut patience = Patience::new(self.attempts, self.give_up_after);
        let has_key = !jobs.iter().any(NewJob::is_forgotten_early);
        let mut key = if has_key { self.keys.next() } else { None };
        loop {
            let body = body(chunk.open().filter_map(|index| jobs.get(index)));
            let answer = self.send("jobs/batch", body.into(), key.as_ref()).await;
            if key.is_some() && !chunk.is_in_doubt() && answer.refuses_key() {
                self.keys.note_refused();
                key = None;
                continue;
            }
            let asked = chunk.settle(answer, key.is_some());
            if chunk.is_settled() {
                break;
            }
            let Some(pause) = patience.next_pause(asked) else { break };
            tokio::time::sleep(pause).await;
            if key.is_some() && !chunk.is_in_doubt() {
                // Other jobs are another request.
                key = self.keys.next();
            }
        }
        chunk.into_outcomes()
    }
}

fn body<'a>(jobs: impl Iterator<Item = &'a NewJob>) -> String {
    let mut body = String::from(r#"{"jobs":["#);
    for (position, job) in jobs.enumerate() {
        if position > 0 {
            body.push(',');
        }
        job.in_batch(&mut body);
    }
    body.push_str("]}");
    body
}
