//! Closed loops: clients with one request at a time each, for a time or for a number of jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::requests::Requests;
use super::tally::Tally;
use crate::part::Channel;
use crate::part::clock::{micros, now_us};
use crate::part::order::{Event, LoadReport};

/// The pause of a client after a request of which no job was stored. A refusal comes at once:
/// without a pause, the next request would only heat the processor.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(10);

/// Whether a loop announces to the benchmark that the measured time begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Announce {
    MeasuredTime,
    Nothing,
}

/// A closed loop for a time, after a warm-up.
pub(super) async fn for_time(
    requests: &Arc<Requests>,
    clients: usize,
    warm_up: Duration,
    lasts: Duration,
) -> (Tally, LoadReport) {
    let tally = run_for(requests, clients, warm_up, lasts, Announce::MeasuredTime).await;
    (tally, LoadReport { seconds: lasts.as_secs_f64(), ..LoadReport::default() })
}

/// A closed loop for a number of jobs, from the first request to the last answer, after a warm-up.
/// Without a warm-up, the first request of all is measured.
pub(super) async fn for_jobs(
    requests: &Arc<Requests>,
    clients: usize,
    warm_up: Duration,
    count: u64,
    at_most: Duration,
) -> (Tally, LoadReport) {
    let warm_up = if warm_up.is_zero() {
        Tally::default()
    } else {
        run_for(requests, clients, Duration::ZERO, warm_up, Announce::Nothing).await
    };
    let left = Arc::new(AtomicU64::new(count.div_ceil(requests.batch())));
    Channel::say(&Event::Measuring);
    let begin = now_us();
    let give_up = begin + micros(at_most);
    let mut running = JoinSet::new();
    for _ in 0..clients {
        running.spawn(client_until(Arc::clone(requests), Arc::clone(&left), give_up));
    }
    let mut tally = Tally::join(running).await;
    let seconds = (now_us() - begin) as f64 / 1e6;
    Channel::say(&Event::Measured);
    let cut_short = left.load(Ordering::Relaxed) > 0;
    tally.add_warm_up(warm_up);
    (tally, LoadReport { seconds, cut_short, ..LoadReport::default() })
}

async fn run_for(
    requests: &Arc<Requests>,
    clients: usize,
    warm_up: Duration,
    lasts: Duration,
    announce: Announce,
) -> Tally {
    let from = now_us() + micros(warm_up);
    let to = from + micros(lasts);
    let stop = Arc::new(AtomicBool::new(false));
    let mut running = JoinSet::new();
    for _ in 0..clients {
        running.spawn(client_within(Arc::clone(requests), Arc::clone(&stop), from, to));
    }
    tokio::time::sleep(warm_up).await;
    if announce == Announce::MeasuredTime {
        Channel::say(&Event::Measuring);
    }
    tokio::time::sleep(lasts).await;
    if announce == Announce::MeasuredTime {
        Channel::say(&Event::Measured);
    }
    stop.store(true, Ordering::Relaxed);
    Tally::join(running).await
}

/// One client until `stop`. Jobs count by the end of their request: jobs of requests that began
/// before the window count too, so the pipeline is as full at the window's beginning as at its
/// end. Latencies count by the beginning of their request: the longest requests end after the
/// window, and the loop waits for them.
async fn client_within(
    requests: Arc<Requests>,
    stop: Arc<AtomicBool>,
    from: u64,
    to: u64,
) -> Tally {
    let mut tally = Tally::default();
    while !stop.load(Ordering::Relaxed) {
        let begin = now_us();
        let posted = requests.post(begin).await;
        let end = now_us();
        if (from..to).contains(&end) {
            tally.count_at(end - from, posted.stored);
        }
        if (from..to).contains(&begin) {
            tally.took(&posted, end - begin);
        }
        let failed = posted.stored == 0;
        tally.add_posted(posted);
        if failed {
            tokio::time::sleep(PAUSE_AFTER_REFUSAL).await;
        }
    }
    tally
}

/// One client until all requests are made, or until the time has run out.
async fn client_until(requests: Arc<Requests>, left: Arc<AtomicU64>, give_up: u64) -> Tally {
    let take = || {
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    };
    let mut tally = Tally::default();
    while now_us() < give_up && take() {
        let begin = now_us();
        let posted = requests.post(begin).await;
        tally.count(posted.stored, now_us() - begin);
        tally.add_posted(posted);
    }
    tally
}
