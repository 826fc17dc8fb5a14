//! A fetch lane: one connection with as many FETCHes on their way as the worker's
//! [`Prefetch`](crate::prefetch::Prefetch) has given it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use faktory_link::{Connection, LinkConfig, Lost, Pending};
use faktory_wire::Reply;
use futures_util::FutureExt;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::prefetch::Prefetch;
use crate::shared::Shared;

/// A lane on which a FETCH is out and that brings nothing for so long is dead: a FETCH takes 2.1 s
/// at the most, and a lost packet is sent again well within the rest.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(10);

/// One lane.
pub(crate) struct FetchLane {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: usize,
}

/// Why a lane leaves a connection.
enum Left {
    /// The worker is to end, and nothing is on its way.
    Ending,
    /// It is broken, or of no more use; so many FETCHes had gone out unanswered.
    Connection(String, usize),
}

impl FetchLane {
    /// Fetches until the worker is to end and all that was on its way has come.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                () = self.until_wanted() => {}
                () = self.shared.terminating() => return,
            }
            let identity = self.shared.identity.borrow().clone();
            let link = link_config(&self.shared.config.link);
            let opened = tokio::select! {
                opened = Connection::open(&link, Some(&identity)) => opened,
                () = self.shared.terminating() => return,
            };
            let why = match opened {
                Ok(connection) => {
                    let distance = connection.distance();
                    self.shared.note(|prefetch, _| prefetch.connected(self.number, distance));
                    let left = self.serve(&connection, &identity.wid, &mut backoff).await;
                    self.shared.note(|prefetch, _| prefetch.disconnected(self.number));
                    match left {
                        Left::Ending => return connection.close().await,
                        Left::Connection(why, out) => {
                            if out > 0 {
                                self.shared.metrics.stranded.increment(out as u64);
                                self.shared.suspicion.notify_one();
                                tracing::warn!(%why, fetches = out, "a lane was lost; what these would have brought comes when its reservation ends");
                            }
                            why
                        }
                    }
                }
                Err(error) => error.to_string(),
            };
            let pause = backoff.next();
            tracing::debug!(%why, ?pause, lane = self.number, "failed to fetch");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shared.terminating() => return,
            }
        }
    }

    async fn until_wanted(&self) {
        while !self.shared.prefetch().is_wanted(self.number) {
            self.notified().await;
        }
    }

    async fn notified(&self) {
        match self.shared.lanes.get(self.number) {
            Some(lane) => lane.notified().await,
            None => std::future::pending().await,
        }
    }

    async fn serve(&self, connection: &Connection, wid: &str, backoff: &mut Backoff) -> Left {
        let mut out: VecDeque<(Instant, Pending)> = VecDeque::new();
        let mut identity = self.shared.identity.subscribe();
        let mut is_ours = true;
        loop {
            if is_ours && identity.borrow_and_update().wid != wid {
                is_ours = false;
                self.shared.note(|prefetch, _| prefetch.retire(self.number));
            }
            let granted = self.shared.prefetch().take_granted(self.number);
            if granted > 0 {
                let lines = (0..granted).map(|_| self.shared.fetch_line.get()).collect();
                let sent = Instant::now();
                out.extend(
                    connection
                        .submit_together(lines)
                        .await
                        .into_iter()
                        .map(|pending| (sent, pending)),
                );
            }
            if out.is_empty() {
                if !is_ours {
                    return Left::Connection(
                        "it belongs to a worker id that is no longer ours".into(),
                        0,
                    );
                }
                if self.shared.is_terminating() {
                    return Left::Ending;
                }
            }
            let paused_until = self.shared.prefetch().paused_until(self.number);
            tokio::select! {
                reply = next_reply(&mut out) => {
                    if let Some(lost) = self.take_in(reply, &mut out, backoff) {
                        let others = out.iter_mut().filter_map(|(_, pending)| pending.now_or_never());
                        let sent = usize::from(lost.sent) + others.filter(|reply| reply.as_ref().is_err_and(|lost| lost.sent)).count();
                        return Left::Connection(lost.to_string(), sent);
                    }
                }
                () = self.notified() => {}
                () = until(paused_until) => self.shared.note(|prefetch, _| prefetch.pause_ended(self.number)),
                () = self.shared.terminating(), if out.is_empty() => {}
                _ = identity.changed(), if is_ours => {}
                cause = connection.until_ended(), if out.is_empty() => return Left::Connection(cause.to_string(), 0),
            }
        }
    }

    /// Takes in a reply, and all that are there by now. Returns the loss of the connection, where
    /// that is what there is.
    fn take_in(
        &self,
        first: (Instant, Result<Reply, Lost>),
        out: &mut VecDeque<(Instant, Pending)>,
        backoff: &mut Backoff,
    ) -> Option<Lost> {
        let mut bodies = Vec::new();
        let mut trouble = None;
        let mut refused = |prefetch: &mut Prefetch, now: Instant, why: String| {
            prefetch.was_refused(self.number, now + backoff.next());
            trouble = Some(why);
        };
        let mut next = Some(first);
        let lost = self.shared.note(|prefetch, now| {
            while let Some((sent, reply)) = next.take() {
                match reply {
                    Ok(Reply::Bulk(body)) => {
                        prefetch.brought_job(self.number, sent, now);
                        bodies.push(body);
                    }
                    Ok(Reply::Nothing) => prefetch.brought_nothing(self.number, now),
                    Ok(Reply::Error(text)) => refused(prefetch, now, text),
                    Ok(Reply::Simple(text)) => {
                        refused(
                            prefetch,
                            now,
                            format!(
                                "unexpected answer to FETCH: {}",
                                String::from_utf8_lossy(&text)
                            ),
                        );
                    }
                    Err(lost) => return Some(lost),
                }
                next = out
                    .front_mut()
                    .and_then(|(sent, pending)| pending.now_or_never().map(|reply| (*sent, reply)));
                if next.is_some() {
                    out.pop_front();
                }
            }
            None
        });
        if lost.is_none() {
            if trouble.is_none() {
                backoff.reset();
            }
            self.shared.note_fetch(trouble.as_deref());
        }
        if !bodies.is_empty() {
            self.shared.take_in(bodies);
        }
        lost
    }
}

/// A lane's own: what is silent for too long is dead, however long other commands may take.
fn link_config(link: &LinkConfig) -> LinkConfig {
    LinkConfig { read_timeout: link.read_timeout.min(SILENCE_MAX), ..link.clone() }
}

/// The next reply, when it comes; never where nothing is out. Cancel safe.
async fn next_reply(out: &mut VecDeque<(Instant, Pending)>) -> (Instant, Result<Reply, Lost>) {
    let Some((sent, pending)) = out.front_mut() else { return std::future::pending().await };
    let reply = (*sent, pending.await);
    out.pop_front();
    reply
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
