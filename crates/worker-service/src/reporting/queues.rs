//! The queues between runs and ack lanes: one for each lane, and which one a report goes to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

use super::pending_report::PendingReport;

/// The length of the queue of one ack lane, in reports; a run that has ended waits while the queue
/// is full.
const QUEUE: usize = 1024;
/// Where the first lane has this many more unanswered reports than another, the other takes the
/// next: reports on one lane are written together, and a server works through each connection by
/// itself (Faktory manages some 3,000 ACKs a second on one, measured).
const STEP: usize = 64;

/// The load and the readiness of each ack lane.
#[derive(Debug)]
pub(crate) struct ReportQueues(Vec<Lane>);

#[derive(Debug, Default)]
struct Lane {
    /// Reports that are not settled, queued ones included.
    reports: AtomicUsize,
    /// True where the lane takes reports; the first lane always does.
    is_open: AtomicBool,
    /// Fires when this lane is to connect, because each open lane has many reports.
    wanted: Notify,
}

impl ReportQueues {
    pub(crate) fn new(lanes: usize) -> Self {
        Self(
            (0..lanes.max(1))
                .map(|number| Lane { is_open: AtomicBool::new(number == 0), ..Lane::default() })
                .collect(),
        )
    }

    /// Reports on all lanes that are not settled.
    pub(crate) fn unsettled(&self) -> usize {
        self.0.iter().map(|lane| lane.reports.load(Ordering::Relaxed)).sum()
    }

    /// Notes that reports of a lane are settled, or have gone to another lane.
    pub(crate) fn settled(&self, lane: usize, reports: usize) {
        if let Some(lane) = self.0.get(lane) {
            lane.reports.fetch_sub(reports, Ordering::Relaxed);
        }
    }

    /// Notes whether a lane takes reports from now on.
    pub(crate) fn open(&self, lane: usize, is_open: bool) {
        if let Some(lane) = self.0.get(lane) {
            lane.is_open.store(is_open, Ordering::Relaxed);
        }
    }

    /// Resolves when a lane is to connect. Cancel safe.
    pub(crate) async fn wanted(&self, lane: usize) {
        match self.0.get(lane) {
            Some(lane) => lane.wanted.notified().await,
            None => std::future::pending().await,
        }
    }

    /// The lane for the next report. Where even that lane has many, one more lane is woken.
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

/// The way in for reports. Once every clone is gone the ack lanes end, when they have told all.
#[derive(Debug, Clone)]
pub(crate) struct Reports {
    queues: Arc<ReportQueues>,
    lanes: Vec<mpsc::Sender<PendingReport>>,
}

/// Room for one report in a queue: to send the report costs no more waiting.
pub(crate) struct Permit<'a> {
    permit: mpsc::Permit<'a, PendingReport>,
    reports: &'a AtomicUsize,
}

impl Permit<'_> {
    /// Hands a report over.
    pub(crate) fn send(self, report: impl Into<PendingReport>) {
        self.reports.fetch_add(1, Ordering::Relaxed);
        self.permit.send(report.into());
    }
}

impl Reports {
    /// The way in, and the ends for the lanes.
    pub(crate) fn new(queues: Arc<ReportQueues>) -> (Self, Vec<mpsc::Receiver<PendingReport>>) {
        let (lanes, ends) = queues.0.iter().map(|_| mpsc::channel(QUEUE)).unzip();
        (Self { queues, lanes }, ends)
    }

    /// Room for a report on the best lane, where that has any now.
    pub(crate) fn try_reserve(&self) -> Option<Permit<'_>> {
        let best = self.queues.best();
        let permit = self.lanes.get(best)?.try_reserve().ok()?;
        Some(Permit { permit, reports: &self.queues.0.get(best)?.reports })
    }

    /// Waits for room for a report. Cancel safe. `None` where all lanes have ended, which none does
    /// before all clones are gone.
    pub(crate) async fn reserve(&self) -> Option<Permit<'_>> {
        let best = self.queues.best();
        let lanes = || self.lanes.iter().enumerate();
        for (number, lane) in lanes().skip(best).chain(lanes().take(best)) {
            // A run that is aborted must not lose its report because tokio's budget for one task
            // is used up.
            if let (Ok(permit), Some(counts)) =
                (tokio::task::unconstrained(lane.reserve()).await, self.queues.0.get(number))
            {
                return Some(Permit { permit, reports: &counts.reports });
            }
        }
        tracing::error!(
            "no ack lane is left: this worker's jobs come back when their reservations end"
        );
        None
    }

    /// The way to the first lane, for a lane that hands its reports over; it keeps no lane open.
    pub(crate) fn first(&self) -> Option<FirstLane> {
        Some(FirstLane { queues: Arc::clone(&self.queues), lane: self.lanes.first()?.downgrade() })
    }
}

/// The way to the first ack lane.
#[derive(Debug)]
pub(crate) struct FirstLane {
    queues: Arc<ReportQueues>,
    lane: mpsc::WeakSender<PendingReport>,
}

impl FirstLane {
    /// Hands a report over.
    ///
    /// # Errors
    /// With the report, where the lane takes no more.
    pub(crate) async fn hand_over(&self, report: PendingReport) -> Result<(), PendingReport> {
        let Some(lane) = self.lane.upgrade() else { return Err(report) };
        let Ok(permit) = lane.reserve().await else { return Err(report) };
        if let Some(counts) = self.queues.0.first() {
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
    use crate::reporting::{Ending, Finished, Reservation};

    #[tokio::test]
    async fn the_first_lane_takes_all_until_it_has_many() {
        let queues = Arc::new(ReportQueues::new(3));
        let (reports, ends) = Reports::new(Arc::clone(&queues));
        let now = Instant::now();
        queues.open(1, true);
        queues.open(2, true);
        for _ in 0..200 {
            let reservation =
                Reservation { jid: "j".into(), number: None, until: now + Duration::from_secs(60) };
            let finished = Finished { reservation, ending: Ending::Done, at: now };
            reports.reserve().await.unwrap().send(finished);
        }
        assert_eq!(ends.iter().map(mpsc::Receiver::len).collect::<Vec<_>>(), [72, 64, 64]);
        queues.settled(0, 72);
        assert_eq!((queues.best(), queues.unsettled()), (0, 128));
    }

    #[tokio::test]
    async fn a_lane_without_a_connection_takes_none_and_is_told_when_it_is_wanted() {
        let queues = ReportQueues::new(2);
        queues.0[0].reports.store(63, Ordering::Relaxed);
        assert_eq!(queues.best(), 0);
        assert!(futures_util::FutureExt::now_or_never(queues.wanted(1)).is_none());
        queues.0[0].reports.store(64, Ordering::Relaxed);
        assert_eq!(queues.best(), 0);
        queues.wanted(1).await;
        queues.open(1, true);
        assert_eq!(queues.best(), 1);
    }
}
