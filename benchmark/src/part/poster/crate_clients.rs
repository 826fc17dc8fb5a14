//! Posting with clients of the faktory crate: the baseline.

use std::ops::Range;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::{Mutex, Semaphore};

use super::numbered::NumberedJobs;
use super::posted::Posted;
use crate::part::baseline::connected;
use crate::part::order::Server;

/// Clients of the faktory crate, as many as connections are allowed. Each client has at most one
/// command in flight.
pub(super) struct CrateClients {
    clients: Mutex<Vec<faktory::Client>>,
    free: Semaphore,
    /// The crate itself has no timeout.
    timeout: Duration,
}

impl CrateClients {
    pub(super) async fn connect(
        server: &Server,
        connections: usize,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let url = server.url();
        let clients =
            try_join_all((0..connections).map(|_| connected(|| faktory::Client::connect_to(&url))))
                .await?;
        Ok(Self { free: Semaphore::new(clients.len()), clients: Mutex::new(clients), timeout })
    }

    pub(super) async fn post(
        &self,
        jobs: &NumberedJobs,
        numbers: Range<u64>,
        intended_us: u64,
    ) -> Posted {
        let Ok(_turn) = self.free.acquire().await else { return Posted::default() };
        let client = self.clients.lock().await.pop();
        let count = numbers.end - numbers.start;
        let mut posted = Posted::default();
        let Some(mut client) = client else {
            (0..count).for_each(|_| posted.not_stored("no connection is left".into()));
            return posted;
        };
        let posting = post_with(&mut client, jobs, numbers, intended_us);
        match tokio::time::timeout(self.timeout, posting).await {
            Ok((posted, Usable::Yes)) => {
                self.clients.lock().await.push(client);
                posted
            }
            Ok((posted, Usable::No)) => posted,
            Err(_) => {
                let why = format!("no answer within {:?}", self.timeout);
                (0..count).for_each(|_| posted.unknown(why.clone()));
                posted
            }
        }
    }
}

/// Whether a client can post again.
enum Usable {
    Yes,
    No,
}

/// Posts as the crate's documentation shows: `enqueue` for one job, `enqueue_many` for several.
async fn post_with(
    client: &mut faktory::Client,
    jobs: &NumberedJobs,
    numbers: Range<u64>,
    intended_us: u64,
) -> (Posted, Usable) {
    let count = numbers.end - numbers.start;
    let mut jobs: Vec<faktory::Job> =
        numbers.map(|number| jobs.crate_job(number, intended_us)).collect();
    let result = match (jobs.len(), jobs.pop()) {
        (1, Some(job)) => client.enqueue(job).await.map(|()| 1),
        (_, Some(last)) => {
            jobs.push(last);
            client.enqueue_many(jobs).await.map(|(stored, _)| stored as u64)
        }
        (_, None) => Ok(0),
    };
    let mut posted = Posted::default();
    match result {
        Ok(stored) => {
            posted.stored = stored;
            (stored..count).for_each(|_| posted.not_stored("refused".into()));
            (posted, Usable::Yes)
        }
        Err(error) => {
            (0..count).for_each(|_| posted.unknown(error.to_string()));
            (posted, Usable::No)
        }
    }
}
