//! The way from runs to the ack lanes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::ack_lane::Finished;

/// Reports on their way to one ack lane; a run waits while there are more.
const QUEUE: usize = 1024;
/// Where the first lane has so many more unanswered than another, that one takes the next: what is on one lane is written together, and a server works
/// through each connection by itself (Faktory manages some 3,000 ACKs a second on one, measured).
const STEP: usize = 64;

/// How many reports each ack lane has unanswered.
#[derive(Debug)]
pub(crate) struct Unreported(Vec<AtomicUsize>);

impl Unreported {
    pub(crate) fn new(lanes: usize) -> Self {
        Self((0..lanes.max(1)).map(|_| AtomicUsize::new(0)).collect())
    }

    /// On all lanes.
    pub(crate) fn all(&self) -> usize {
        self.0.iter().map(|lane| lane.load(Ordering::Relaxed)).sum()
    }

    /// So many of this lane are settled.
    pub(crate) fn settled(&self, lane: usize, reports: usize) {
        if let Some(lane) = self.0.get(lane) {
            lane.fetch_sub(reports, Ordering::Relaxed);
        }
    }

    fn best(&self) -> usize {
        let least = self.0.iter().map(|lane| lane.load(Ordering::Relaxed) / STEP).enumerate().min_by_key(|(_, steps)| *steps);
        least.map_or(0, |(lane, _)| lane)
    }
}

/// Takes reports. Once every clone is gone the ack lanes end, when they have told all.
#[derive(Debug, Clone)]
pub(crate) struct Reports {
    unreported: Arc<Unreported>,
    lanes: Vec<mpsc::Sender<Finished>>,
}

impl Reports {
    /// The way in, and the ends of so many lanes.
    pub(crate) fn new(unreported: Arc<Unreported>) -> (Self, Vec<mpsc::Receiver<Finished>>) {
        let (lanes, ends) = unreported.0.iter().map(|_| mpsc::channel(QUEUE)).unzip();
        (Self { unreported, lanes }, ends)
    }

    /// Hands a report over. Cancel safe: it is handed over or not.
    pub(crate) async fn send(&self, finished: Finished) {
        let best = self.unreported.best();
        let Some(lane) = self.lanes.get(best) else { return };
        // A lane ends only after all reports have come.
        if let Ok(permit) = lane.reserve().await {
            if let Some(count) = self.unreported.0.get(best) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            permit.send(finished);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::outcome::Ending;
    use crate::running_jobs::Fetched;

    #[tokio::test]
    async fn the_first_lane_takes_all_until_it_has_many() {
        let unreported = Arc::new(Unreported::new(3));
        let (reports, ends) = Reports::new(Arc::clone(&unreported));
        let now = Instant::now();
        for _ in 0..200 {
            let fetched = Fetched { jid: "j".into(), reserved_until: now + Duration::from_secs(60) };
            reports.send(Finished { fetched, ending: Ending::Done, ended: now }).await;
        }
        assert_eq!(ends.iter().map(mpsc::Receiver::len).collect::<Vec<_>>(), [72, 64, 64]);
        unreported.settled(0, 72);
        assert_eq!((unreported.best(), unreported.all()), (0, 128));
    }
}
