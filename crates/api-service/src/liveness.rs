//! What the API knows of the work server: whether it has answered recently, and whether it takes
//! jobs. `probe.rs` and every push report to it; `GET /ready` asks it.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faktory_link::JobOutcome;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::problem::{Code, Problem};

/// How long an answer of the work server counts.
const VALID_FOR: Duration = Duration::from_secs(15);

/// How long the next probe is awaited: probes are 5 s apart, and have 5 s for their answer.
const PROBE_COMES: Duration = Duration::from_secs(10);

/// The latest signs of the work server.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    seen: Mutex<Seen>,
    /// Notified with each result of a probe, and each push.
    noted: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    last_success: Option<Instant>,
    /// Why the latest probe failed; `None` where it succeeded.
    failure: Option<String>,
    /// The text with which the work server refused the latest push, and the time of the refusal.
    refusing: Option<(String, Instant)>,
}

impl Liveness {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the result of a probe.
    pub(crate) fn note_probe(&self, result: Result<(), String>) {
        self.note_probe_at(result, Instant::now());
        self.noted.notify_waiters();
    }

    fn note_probe_at(&self, result: Result<(), String>, now: Instant) {
        let mut seen = self.seen();
        match result {
            Ok(()) => (seen.last_success, seen.failure) = (Some(now), None),
            Err(why) => seen.failure = Some(why),
        }
    }

    /// Notes the outcomes of a push: a work server that answers probes may still refuse jobs.
    pub(crate) fn note_push(&self, outcomes: &[JobOutcome]) {
        self.note_push_at(outcomes, Instant::now());
        self.noted.notify_waiters();
    }

    fn note_push_at(&self, outcomes: &[JobOutcome], now: Instant) {
        let is_answer = |outcome: &JobOutcome| {
            matches!(
                outcome,
                JobOutcome::Stored | JobOutcome::Rejected(_) | JobOutcome::ServerRefuses(_)
            )
        };
        if outcomes.iter().any(is_answer) {
            self.seen().last_success = Some(now);
        }
        let latest = outcomes.iter().rev().find_map(|outcome| match outcome {
            JobOutcome::Stored => Some(None),
            JobOutcome::ServerRefuses(detail) => Some(Some(detail.clone())),
            JobOutcome::Rejected(_) | JobOutcome::Unknown(_) | JobOutcome::NotSent(..) => None,
        });
        if let Some(latest) = latest {
            self.seen().refusing = latest.map(|detail| (detail, now));
        }
    }

    /// Whether jobs would be stored now, as far as is known; an error tells why not. Where the
    /// latest probe succeeded and is too long ago, this process has not probed, because it was
    /// stopped: then the result of the next probe is awaited. Cancel safe.
    pub(crate) async fn check(&self) -> Result<(), Problem> {
        let mut noted = pin!(self.noted.notified());
        // Registered before the state is looked at, so that no result is missed.
        noted.as_mut().enable();
        if self.has_not_probed_at(Instant::now()) {
            let _counts_below = deadline::timeout(PROBE_COMES, noted).await;
        }
        self.check_at(Instant::now())
    }

    /// Whether [`check`](Self::check) would await the next probe now.
    pub(crate) fn awaits_probe(&self) -> bool {
        self.has_not_probed_at(Instant::now())
    }

    fn has_not_probed_at(&self, now: Instant) -> bool {
        let seen = self.seen();
        let is_old = |at: Instant| now.duration_since(at) >= VALID_FOR;
        seen.failure.is_none() && seen.last_success.is_some_and(is_old)
    }

    fn check_at(&self, now: Instant) -> Result<(), Problem> {
        let is_recent = |at: Instant| now.duration_since(at) < VALID_FOR;
        let seen = self.seen();
        // A refusal expires as a success does. Otherwise a client that sends no jobs while the
        // service is not ready would keep it from learning that jobs are taken again.
        if let Some((detail, at)) = &seen.refusing
            && is_recent(*at)
        {
            let detail = format!("the latest push was refused: {detail}");
            return Err(Problem::new(Code::WorkServerRefusing, detail));
        }
        if seen.last_success.is_some_and(is_recent) {
            return Ok(());
        }
        let why = seen.failure.as_deref().unwrap_or("it has not answered yet");
        let detail = format!("the work server does not answer: {why}");
        Err(Problem::new(Code::WorkServerUnreachable, detail))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_pause_the_next_probe_decides() {
        let liveness = Liveness::default();
        assert!(liveness.check().now_or_never().unwrap().is_err(), "nothing is known");
        liveness.note_probe(Ok(()));
        assert!(liveness.check().now_or_never().unwrap().is_ok());
        // Nothing has probed for this time.
        tokio::time::advance(Duration::from_secs(70)).await;
        let mut check = pin!(liveness.check());
        assert!(check.as_mut().now_or_never().is_none(), "not known yet");
        liveness.note_probe(Ok(()));
        assert!(check.await.is_ok());
        tokio::time::advance(Duration::from_secs(70)).await;
        let mut check = pin!(liveness.check());
        assert!(check.as_mut().now_or_never().is_none());
        liveness.note_probe(Err("no route".into()));
        assert!(check.await.is_err());
        assert!(liveness.check().now_or_never().unwrap().is_err(), "known to fail: at once");
        liveness.note_probe(Ok(()));
        tokio::time::advance(Duration::from_secs(70)).await;
        assert!(liveness.check().await.is_err(), "where no probe comes, it is not waited for ever");
    }

    #[test]
    fn a_refusal_and_a_success_count_for_fifteen_seconds() {
        let begin = Instant::now();
        let liveness = Liveness::default();
        let is_live = |seconds| liveness.check_at(begin + Duration::from_secs(seconds)).is_ok();
        assert!(!is_live(0), "nothing is known");
        liveness.note_probe_at(Ok(()), begin);
        assert!(is_live(14) && !is_live(15));
        let refused = JobOutcome::ServerRefuses("full".into());
        liveness.note_push_at(&[JobOutcome::Stored, refused.clone()], begin);
        assert!(!is_live(0), "the latest job was refused");
        liveness.note_probe_at(Ok(()), begin + Duration::from_secs(10));
        assert!(!is_live(14) && is_live(15), "the refusal has expired before the probe");
        liveness.note_push_at(&[refused], begin + Duration::from_secs(20));
        liveness.note_push_at(&[JobOutcome::Stored], begin + Duration::from_secs(20));
        assert!(is_live(20), "jobs are taken again");
    }
}
