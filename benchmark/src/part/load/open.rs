//! An open loop: requests at intended times, whatever happens to earlier requests.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::requests::Requests;
use super::tally::Tally;
use crate::part::Channel;
use crate::part::clock::{micros, now_us};
use crate::part::order::{Event, LoadReport};
use crate::part::poster::Posted;

/// One request of an open loop.
struct Request {
    intended_us: u64,
    /// The delay of the request's beginning, which the generator caused.
    late_us: u64,
    end_us: u64,
    posted: Posted,
}

/// Makes requests at intended times, evenly apart. A latency counts from the intended time: a slow
/// answer can't hide by holding up the requests after it. Jobs count that were answered within the
/// window.
pub(super) async fn run(
    requests: &Arc<Requests>,
    per_second: f64,
    warm_up: Duration,
    lasts: Duration,
) -> (Tally, LoadReport) {
    let gap = Duration::from_secs_f64(1.0 / per_second.max(0.001));
    let (start, start_us) = (Instant::now(), now_us());
    let window = start_us + micros(warm_up)..start_us + micros(warm_up + lasts);
    let count = ((warm_up + lasts).as_secs_f64() * per_second) as u32;
    let announce = async {
        tokio::time::sleep_until(start + warm_up).await;
        Channel::say(&Event::Measuring);
        tokio::time::sleep_until(start + warm_up + lasts).await;
        Channel::say(&Event::Measured);
    };
    let mut tally = Tally::default();
    let generate = async {
        let mut running = JoinSet::new();
        for number in 0..count {
            let offset = gap * number;
            let intended_us = start_us + micros(offset);
            let requests = Arc::clone(requests);
            tokio::time::sleep_until(start + offset).await;
            running.spawn(async move {
                let late_us = now_us().saturating_sub(intended_us);
                let posted = requests.post(intended_us).await;
                Request { intended_us, late_us, end_us: now_us(), posted }
            });
            while let Some(request) = running.try_join_next() {
                note(&mut tally, request, &window);
            }
        }
        while let Some(request) = running.join_next().await {
            note(&mut tally, request, &window);
        }
    };
    tokio::join!(announce, generate);
    let generator_late_p99_us = Some(tally.generator_late.percentile(99.0));
    let seconds = lasts.as_secs_f64();
    (tally, LoadReport { seconds, generator_late_p99_us, ..LoadReport::default() })
}

fn note(tally: &mut Tally, request: Result<Request, JoinError>, window: &Range<u64>) {
    let request = match request {
        Ok(request) => request,
        Err(error) => return tally.errors.push(error.to_string()),
    };
    if window.contains(&request.end_us) {
        tally.jobs += request.posted.stored;
    }
    if window.contains(&request.intended_us) {
        tally.generator_late.record(request.late_us);
        tally.took(&request.posted, request.end_us.saturating_sub(request.intended_us));
    }
    tally.add_posted(request.posted);
}
