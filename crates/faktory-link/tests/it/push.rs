//! Jobs and pushes for the tests against the scripted server.

use std::time::Duration;

use faktory_link::{EncodedJob, JobOutcome, LinkConfig, LinkPool, Pusher};
use tokio::time::Instant;

/// A job with this id.
pub(crate) fn job(jid: &str) -> EncodedJob {
    EncodedJob::new(jid, format!(r#"{{"jid":"{jid}","jobtype":"t","args":[]}}"#))
}

/// The outcomes of pushing jobs with these ids over a fresh link.
pub(crate) async fn push(config: LinkConfig, jids: &[&str]) -> Vec<JobOutcome> {
    let pusher = Pusher::new(LinkPool::new(config).unwrap());
    pusher
        .push(jids.iter().map(|jid| job(jid)).collect(), Instant::now() + Duration::from_secs(20))
        .await
}
