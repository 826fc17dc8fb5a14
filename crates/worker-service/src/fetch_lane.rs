//! A fetch lane: one connection with as many FETCHes in flight as the worker's prefetch has granted
//! it.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faktory_link::{Backoff, Connection, LinkConfig, Lost, Pending};
use faktory_wire::{Excerpt, Reply};
use futures_util::FutureExt;
use tokio::time::Instant;

use crate::flow::Flow;
use crate::lifecycle::Lifecycle;
use crate::prefetch::Prefetch;

/// A lane with a FETCH in flight that brings nothing for this long is dead: a FETCH takes 2.1 s at
/// the most, and a lost packet is sent again well within the rest. What has arrived by then is
/// taken in first, because this process may have been stopped for the whole time. A large job that
/// is still arriving has as long again for each 64 KiB of it.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// One lane.
pub(crate) struct FetchLane {
    link: LinkConfig,
    lifecycle: Arc<Lifecycle>,
    flow: Arc<Flow>,
    number: usize,
}

/// Why a lane leaves a connection.
enum LaneEnd {
    /// The worker is to end, and no FETCH is in flight.
    ShutDown,
    /// The connection is broken, or of no more use.
    Lost {
        why: String,
        /// FETCHes that had gone out and were not answered.
        fetches: usize,
    },
}

/// A FETCH, or a WF FETCH, that was sent.
#[derive(Clone, Copy)]
struct Fetch {
    /// When it was handed to the connection: before it was written, so that no reservation began
    /// earlier, wherever this process is stopped.
    sent: Instant,
    /// The jobs that it asks for, at the most.
    jobs: usize,
}

/// FETCHes in flight, the oldest first.
type InFlight = VecDeque<(Fetch, Pending)>;
/// A FETCH with the reply to it.
type Fetched = (Fetch, Result<Reply, Lost>);

impl FetchLane {
    /// Whatever time other commands may take, a lane that is silent for too long is dead.
    pub(crate) fn new(
        link: &LinkConfig,
        lifecycle: Arc<Lifecycle>,
        flow: Arc<Flow>,
        number: usize,
    ) -> Self {
        let read_timeout = link.read_timeout.min(SILENCE_MAX);
        Self { link: LinkConfig { read_timeout, ..link.clone() }, lifecycle, flow, number }
    }

    /// Fetches until the worker is to end and the reply to every FETCH has come.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                () = self.until_wanted() => {}
                () = self.lifecycle.terminating() => return,
            }
            let identity = self.lifecycle.identity();
            let opened = tokio::select! {
                opened = Connection::open(&self.link, Some(&identity)) => opened,
                () = self.lifecycle.terminating() => return,
            };
            let had_connection = opened.is_ok();
            let why = match opened {
                Ok(connection) => {
                    let distance = connection.distance();
                    let takes_many = connection.abilities().many;
                    self.flow.note(|prefetch, _| {
                        prefetch.connected(self.number, distance, takes_many);
                    });
                    let end = self.serve(&connection, &identity.wid, &mut backoff).await;
                    self.flow.note(|prefetch, _| prefetch.disconnected(self.number));
                    match end {
                        LaneEnd::ShutDown => return connection.close().await,
                        LaneEnd::Lost { why, fetches } => {
                            self.note_lost(&why, fetches);
                            why
                        }
                    }
                }
                Err(error) => error.to_string(),
            };
            let pause = backoff.next_pause();
            tracing::debug!(%why, ?pause, lane = self.number, "failed to fetch");
            tokio::select! {
                () = self.rest(pause, had_connection) => {}
                () = self.lifecycle.terminating() => return,
            }
        }
    }

    /// The rest after a failure. A lane that got no connection then waits until the first ack lane
    /// has one: what refuses one lane, such as a password or a certificate, refuses all of them,
    /// and so does a work server that is gone. Cancel safe.
    async fn rest(&self, pause: Duration, had_connection: bool) {
        tokio::time::sleep(pause).await;
        if !had_connection {
            // The sender lives as long as self.
            let _ = self.lifecycle.connections().wait_for(|connected| *connected).await;
        }
    }

    fn note_lost(&self, why: &str, fetches: usize) {
        if fetches == 0 {
            return;
        }
        self.flow.lost(fetches);
        self.lifecycle.suspect();
        tracing::warn!(
            %why, fetches,
            "a lane was lost; the jobs that its fetches would have brought come when their \
             reservations end"
        );
    }

    async fn until_wanted(&self) {
        while !self.flow.prefetch().is_wanted(self.number) {
            self.flow.notified(self.number).await;
        }
    }

    async fn serve(&self, connection: &Connection, wid: &str, backoff: &mut Backoff) -> LaneEnd {
        let lost = |why: String, fetches| LaneEnd::Lost { why, fetches };
        let mut in_flight = InFlight::new();
        let mut identities = self.lifecycle.identities();
        let mut is_ours = true;
        loop {
            if is_ours && identities.borrow_and_update().wid != wid {
                is_ours = false;
                self.flow.note(|prefetch, _| prefetch.retire(self.number));
            }
            let (lines, jobs) = self.flow.take_granted(self.number, connection.abilities());
            if !lines.is_empty() {
                let sent = Instant::now();
                let fetches = jobs.into_iter().map(|jobs| Fetch { sent, jobs });
                in_flight.extend(fetches.zip(connection.submit_together(lines).await));
            }
            if in_flight.is_empty() {
                if !is_ours {
                    return lost(
                        "the connection belongs to a worker id that this worker no longer has"
                            .into(),
                        0,
                    );
                }
                if self.lifecycle.is_terminating() {
                    return LaneEnd::ShutDown;
                }
            }
            let paused_until = self.flow.prefetch().paused_until(self.number);
            tokio::select! {
                first = next_reply(&mut in_flight) => {
                    if let Some((fetch, cause)) = self.take_in(first, &mut in_flight, backoff) {
                        let in_vain = sent_in_vain(fetch, &cause, &mut in_flight);
                        return lost(cause.to_string(), in_vain);
                    }
                }
                () = self.flow.notified(self.number) => {}
                () = until(paused_until) => {
                    self.flow.note(|prefetch, _| prefetch.pause_ended(self.number));
                }
                () = self.lifecycle.terminating(), if in_flight.is_empty() => {}
                _ = identities.changed(), if is_ours => {}
                cause = connection.until_ended(), if in_flight.is_empty() => {
                    return lost(cause.to_string(), 0);
                }
            }
        }
    }

    /// Takes in a reply, and all others that are there by now. Returns the loss of the connection,
    /// where a reply is that, with the FETCH that has lost its reply.
    fn take_in(
        &self,
        first: Fetched,
        in_flight: &mut InFlight,
        backoff: &mut Backoff,
    ) -> Option<(Fetch, Lost)> {
        let mut jobs = Vec::new();
        let mut trouble = None;
        let mut next = Some(first);
        let lost = self.flow.note(|prefetch, now| {
            while let Some((fetch, reply)) = next.take() {
                let reply = match reply {
                    Ok(reply) => reply,
                    Err(lost) => return Some((fetch, lost)),
                };
                if let Err(why) = self.take_in_one(reply, fetch, (prefetch, now), &mut jobs) {
                    prefetch.was_refused(self.number, fetch.jobs, now + backoff.next_pause());
                    trouble = Some(why);
                }
                next = reply_at_hand(in_flight);
            }
            None
        });
        if lost.is_none() {
            if trouble.is_none() {
                backoff.reset();
            }
            self.lifecycle.note_fetch(trouble.as_deref());
        }
        if !jobs.is_empty() {
            self.flow.take_in(jobs);
        }
        lost
    }

    /// Adds the jobs in a reply, where there are any.
    ///
    /// # Errors
    /// Where the server has refused the FETCH, with what it says.
    fn take_in_one(
        &self,
        reply: Reply,
        fetch: Fetch,
        (prefetch, now): (&mut Prefetch, Instant),
        jobs: &mut Vec<(Instant, Bytes)>,
    ) -> Result<(), String> {
        match reply {
            Reply::Bulk(body) => {
                let brought = jobs_of(body, fetch.jobs);
                let counts = (fetch.jobs, brought.len());
                prefetch.brought_jobs(self.number, counts, fetch.sent, now);
                jobs.extend(brought.into_iter().map(|job| (fetch.sent, job)));
                Ok(())
            }
            Reply::Nothing => {
                prefetch.brought_nothing(self.number, fetch.jobs, now);
                Ok(())
            }
            Reply::Error(text) => Err(Excerpt(text).to_string()),
            Reply::Simple(text) => {
                Err(format!("unexpected answer to FETCH: {}", Excerpt::of_bytes(&text)))
            }
        }
    }
}

/// The jobs in the reply to a FETCH that asked for so many. Of several each has a line, and is
/// copied, so that a job which waits or runs for long does not hold the memory of all.
fn jobs_of(body: Bytes, asked: usize) -> Vec<Bytes> {
    if asked == 1 {
        return vec![body];
    }
    let mut jobs = Vec::with_capacity(asked);
    let mut rest = body.as_ref();
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (job, behind) = rest.split_at(end);
        jobs.push(Bytes::copy_from_slice(job));
        rest = behind.get(1..).unwrap_or_default();
    }
    jobs.push(if jobs.is_empty() { body } else { Bytes::copy_from_slice(rest) });
    jobs
}

/// The next reply, when it comes; never where no FETCH is in flight. Cancel safe.
async fn next_reply(in_flight: &mut InFlight) -> Fetched {
    let Some((fetch, pending)) = in_flight.front_mut() else { return std::future::pending().await };
    let reply = (*fetch, pending.await);
    in_flight.pop_front();
    reply
}

/// The next reply, where it is there by now.
fn reply_at_hand(in_flight: &mut InFlight) -> Option<Fetched> {
    let (fetch, pending) = in_flight.front_mut()?;
    let reply = (*fetch, pending.now_or_never()?);
    in_flight.pop_front();
    Some(reply)
}

/// Jobs that were asked for by what had gone out when the connection was lost: by the first FETCH,
/// whose loss this is, and by those behind it.
fn sent_in_vain(first: Fetch, cause: &Lost, in_flight: &mut InFlight) -> usize {
    let others = in_flight.iter_mut().filter_map(|(fetch, pending)| {
        let is_sent = pending.now_or_never()?.is_err_and(|lost| lost.sent);
        is_sent.then_some(fetch.jobs)
    });
    others.sum::<usize>() + if cause.sent { first.jobs } else { 0 }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
