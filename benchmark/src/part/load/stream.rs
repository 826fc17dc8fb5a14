//! A stream: many jobs in one request.

use super::requests::Requests;
use super::tally::Tally;
use crate::part::Channel;
use crate::part::clock::now_us;
use crate::part::order::{Event, LoadReport};
use crate::part::poster::Posted;

/// The results of a stream's warm-up: the measured time begins with the last of these results.
const WARM_UP: u64 = 10_000;

/// Posts this many jobs in one request.
pub(super) async fn run(requests: &Requests, count: u64) -> (Tally, LoadReport) {
    let mut tally = Tally::default();
    let mut begin = now_us();
    let mut results = 0;
    let mut each = |posted: Posted| {
        results += 1;
        if results == WARM_UP {
            begin = now_us();
            Channel::say(&Event::Measuring);
        } else if results > WARM_UP {
            tally.jobs += posted.stored;
        }
        tally.add_posted(posted);
    };
    let outcome = requests.stream(count, &mut each).await;
    if results < WARM_UP {
        Channel::say(&Event::Measuring);
    }
    Channel::say(&Event::Measured);
    if let Err(error) = outcome {
        tally.unknown += count.saturating_sub(results);
        tally.errors.push(error);
    }
    let seconds = (now_us() - begin) as f64 / 1e6;
    (tally, LoadReport { seconds, ..LoadReport::default() })
}
