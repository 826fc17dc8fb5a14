//! Posting over HTTP with our client.

use std::ops::Range;
use std::time::Duration;

use anyhow::Context;
use client::{Client, JobOutcome, PostError};

use super::numbered::NumberedJobs;
use super::posted::Posted;

/// The longest time until the API is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of the API.
pub(super) struct HttpPoster(Client);

impl HttpPoster {
    /// Waits until the API is ready. The client makes one attempt for each request: a measurement
    /// must not hide refusals behind retries.
    pub(super) async fn connect(
        api: &str,
        key: Option<&str>,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let builder = Client::builder(api).attempts(1).timeout(timeout).chunk_jobs(10_000);
        let client = match key {
            Some(key) => builder.key(key),
            None => builder,
        }
        .build()?;
        let ready = tokio::time::timeout(READY_TIMEOUT, async {
            while client.ready().await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        ready.await.context("the API did not become ready")?;
        Ok(Self(client))
    }

    pub(super) async fn post(
        &self,
        jobs: &NumberedJobs,
        numbers: Range<u64>,
        intended_us: u64,
    ) -> Posted {
        let mut posted = Posted::default();
        let mut batch = Vec::with_capacity((numbers.end - numbers.start) as usize);
        for number in numbers {
            match jobs.http(number, intended_us) {
                Some(job) => batch.push(job),
                None => posted.not_stored("the job can't be written".into()),
            }
        }
        let outcomes = match batch.as_slice() {
            [job] => vec![match self.0.post(job).await {
                Ok(job_id) => JobOutcome::Stored { job_id },
                Err(error) => JobOutcome::Failed(error),
            }],
            jobs => self.0.post_batch(jobs).await,
        };
        outcomes.into_iter().for_each(|outcome| note(&mut posted, outcome));
        posted
    }

    pub(super) async fn stream(
        &self,
        jobs: &NumberedJobs,
        numbers: Range<u64>,
        each: &mut impl FnMut(Posted),
    ) -> Result<(), String> {
        let queue = jobs.queue().to_owned();
        let jobs = numbers.filter_map(move |number| NumberedJobs::streamed(number, &queue));
        let jobs = futures_util::stream::iter(jobs);
        let mut results = self.0.post_stream(jobs).await.map_err(|error| error.to_string())?;
        while let Some(result) = results.next().await.map_err(|error| error.to_string())? {
            let mut posted = Posted::default();
            note(&mut posted, result.outcome);
            each(posted);
        }
        Ok(())
    }
}

fn note(posted: &mut Posted, outcome: JobOutcome) {
    match outcome {
        JobOutcome::Stored { .. } => posted.stored += 1,
        JobOutcome::Failed(error @ PostError::Unknown { .. }) => posted.unknown(error.to_string()),
        JobOutcome::Failed(error) => posted.not_stored(error.to_string()),
    }
}
