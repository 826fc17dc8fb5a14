//! The way from runs to the ack lanes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

use crate::report::Tracked;

/// Reports on their way to one ack lane; a run waits while there are more.
const QUEUE: usize = 1024;
/// Where the first lane has so many more unanswered than another, that one takes the next: what is
/// on one lane is written together, and a server works through each connection by itself (Faktory
/// manages some 3,000 ACKs a second on one, measured).
const STEP: usize = 64;

/// How the ack lanes stand.
#[derive(Debug)]
pub(crate) struct Unreported(Vec<Lane>);

#[derive(Debug, Default)]
struct Lane {
    /// Reports unanswered.
    reports: AtomicUsize,
    /// It takes reports; the first always does.
    is_open: AtomicBool,
    /// The others have so much to do that this one is to connect.
    wanted: Notify,
}

impl Unreported {
    pub(crate) fn new(lanes: usize) -> Self {
        Self(
            (0..lanes.max(1))
                .map(|number| Lane { is_open: AtomicBool::new(number == 0), ..Lane::default() })
                .collect(),
        )
    }

    /// On all lanes.
    pub(crate) fn all(&self) -> usize {
        self.0.iter().map(|lane| lane.reports.load(Ordering::Relaxed)).sum()
    }

    /// So many of this lane are settled, or another's.
    pub(crate) fn settled(&self, lane: usize, reports: usize) {
        if let Some(lane) = self.0.get(lane) {
            lane.reports.fetch_sub(reports, Ordering::Relaxed);
        }
    }

    /// This lane takes reports from now on, or no more.
    pub(crate) fn open(&self, lane: usize, is_open: bool) {
        if let Some(lane) = self.0.get(lane) {
            lane.is_open.store(is_open, Ordering::Relaxed);
        }
    }

    /// Resolves when this lane is to connect. Cancel safe.
    pub(crate) async fn wanted(&self, lane: usize) {
        match self.0.get(lane) {
            Some(lane) => lane.wanted.notified().await,
            None => std::future::pending().await,
        }
    }

    /// The lane for the next report, and wakes one more where even that has much to do.
    fn best(&self) -> usize {
        let steps = |lane: &Lane| lane.reports.load(Ordering::Relaxed) / STEP;
        let open =
            self.0.iter().enumerate().filter(|(_, lane)| lane.is_open.load(Ordering::Relaxed));
        let (best, least) = open
            .map(|(number, lane)| (number, steps(lane)))
            .min_by_key(|(_, steps)| *steps)
            .unwrap_or((0, 0));
        if least > 0
            && let Some(closed) = self.0.iter().find(|lane| !lane.is_open.load(Ordering::Relaxed))
        {
            closed.wanted.notify_one();
        }
        best
    }
}

/// Takes reports. Once every clone is gone the ack lanes end, when they have told all.
#[derive(Debug, Clone)]
pub(crate) struct Reports {
    unreported: Arc<Unreported>,
    lanes: Vec<mpsc::Sender<Tracked>>,
}

/// A place for one report, which costs no more waiting.
pub(crate) struct Permit<'a> {
    permit: mpsc::Permit<'a, Tracked>,
    reports: &'a AtomicUsize,
}

impl Permit<'_> {
    /// Hands a report over.
    pub(crate) fn send(self, report: impl Into<Tracked>) {
        self.reports.fetch_add(1, Ordering::Relaxed);
        self.permit.send(report.into());
    }
}

impl Reports {
    /// The way in, and the ends of so many lanes.
    pub(crate) fn new(unreported: Arc<Unreported>) -> (Self, Vec<mpsc::Receiver<Tracked>>) {
        let (lanes, ends) = unreported.0.iter().map(|_| mpsc::channel(QUEUE)).unzip();
        (Self { unreported, lanes }, ends)
    }

    /// Waits for a place for a report. Cancel safe. `None` where all lanes have ended, which none
    /// does before all clones are gone.
    pub(crate) async fn reserve(&self) -> Option<Permit<'_>> {
        let best = self.unreported.best();
        for (number, lane) in
            self.lanes.iter().enumerate().skip(best).chain(self.lanes.iter().enumerate().take(best))
        {
            // What is aborted must not be so because of others' turns.
            if let (Ok(permit), Some(counts)) =
                (tokio::task::unconstrained(lane.reserve()).await, self.unreported.0.get(number))
            {
                return Some(Permit { permit, reports: &counts.reports });
            }
        }
        tracing::error!(
            "no ack lane is left: this worker's jobs come back when their reservations end"
        );
        None
    }

    /// The way to the first lane, for another that gives up its own; it keeps none open.
    pub(crate) fn first(&self) -> Option<FirstLane> {
        Some(FirstLane {
            unreported: Arc::clone(&self.unreported),
            lane: self.lanes.first()?.downgrade(),
        })
    }
}

/// The way to the first ack lane.
#[derive(Debug)]
pub(crate) struct FirstLane {
    unreported: Arc<Unreported>,
    lane: mpsc::WeakSender<Tracked>,
}

impl FirstLane {
    /// Hands a report over; gives it back where nothing more is taken.
    pub(crate) async fn hand_over(&self, report: Tracked) -> Result<(), Tracked> {
        let Some(lane) = self.lane.upgrade() else { return Err(report) };
        let Ok(permit) = lane.reserve().await else { return Err(report) };
        if let Some(counts) = self.unreported.0.first() {
            counts.reports.fetch_add(1, Ordering::Relaxed);
        }
        permit.send(report);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::outcome::Ending;
    use crate::report::Finished;
    use crate::running_jobs::Fetched;

    #[tokio::test]
    async fn the_first_lane_takes_all_until_it_has_many() {
        let unreported = Arc::new(Unreported::new(3));
        let (reports, ends) = Reports::new(Arc::clone(&unreported));
        let now = Instant::now();
        unreported.open(1, true);
        unreported.open(2, true);
        for _ in 0..200 {
            let fetched =
                Fetched { jid: "j".into(), reserved_until: now + Duration::from_secs(60) };
            reports.reserve().await.unwrap().send(Finished {
                fetched,
                ending: Ending::Done,
                ended: now,
            });
        }
        assert_eq!(ends.iter().map(mpsc::Receiver::len).collect::<Vec<_>>(), [72, 64, 64]);
        unreported.settled(0, 72);
        assert_eq!((unreported.best(), unreported.all()), (0, 128));
    }

    #[tokio::test]
    async fn a_lane_without_a_connection_takes_none_and_is_told_when_it_is_wanted() {
        let unreported = Unreported::new(2);
        unreported.0[0].reports.store(63, Ordering::Relaxed);
        assert_eq!(unreported.best(), 0);
        assert!(futures_util::FutureExt::now_or_never(unreported.wanted(1)).is_none());
        unreported.0[0].reports.store(64, Ordering::Relaxed);
        assert_eq!(unreported.best(), 0);
        unreported.wanted(1).await;
        unreported.open(1, true);
        assert_eq!(unreported.best(), 1);
    }
}
