//! Posting over our link, without HTTP.

use std::ops::Range;
use std::time::Duration;

use faktory_link::{JobOutcome, LinkPool, Pusher};
use tokio::time::Instant;

use super::numbered::NumberedJobs;
use super::posted::Posted;
use crate::part::order::Server;

/// A pusher over the link's pool of connections.
pub(super) struct LinkPoster {
    pusher: Pusher,
    timeout: Duration,
}

impl LinkPoster {
    /// Opens all connections before the measurement.
    pub(super) async fn connect(
        server: &Server,
        connections: usize,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let pool = LinkPool::new(server.link_without_breaker(connections))
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        pool.warm_up(connections).await;
        Ok(Self { pusher: Pusher::new(pool), timeout })
    }

    pub(super) async fn post(
        &self,
        jobs: &NumberedJobs,
        numbers: Range<u64>,
        intended_us: u64,
    ) -> Posted {
        let jobs = numbers.map(|number| jobs.encoded(number, intended_us)).collect();
        let outcomes = self.pusher.push(jobs, Instant::now() + self.timeout).await;
        let mut posted = Posted::default();
        for outcome in outcomes {
            match outcome {
                JobOutcome::Stored => posted.stored += 1,
                JobOutcome::Unknown(why) => posted.unknown(why),
                JobOutcome::Rejected(why)
                | JobOutcome::ServerRefuses(why)
                | JobOutcome::NotSent(_, why) => posted.not_stored(why),
            }
        }
        posted
    }
}
