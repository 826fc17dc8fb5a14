//! Posts a batch in several requests, with retries of jobs that are certainly not stored.
//!
//! `cargo run -p client --example post_batch [http://127.0.0.1:3000]`, with an API at that address.
#![expect(clippy::print_stdout, reason = "an example shows its results")]

use std::error::Error;
use std::time::Duration;

use client::{Client, JobOutcome, NewJob, PostError};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:3000".into());
    let client = Client::builder(&address)
        // Up to 500 jobs a request, four requests at once.
        .chunk_jobs(500)
        .chunks_in_flight(4)
        // Jobs that are certainly not stored are sent up to ten times within a minute.
        .attempts(10)
        .give_up_after(Duration::from_secs(60))
        .build()?;
    let jobs: Vec<NewJob> = (0..2000)
        .map(|number| NewJob::raw("resize_image", &[format!("image-{number}.png")]))
        .collect::<Result<_, _>>()?;

    // One outcome for each job, in the order of the jobs.
    let outcomes = client.post_batch(&jobs).await;
    let stored = outcomes.iter().filter(|outcome| outcome.is_stored()).count();
    println!("stored {stored} of {} jobs", jobs.len());
    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            JobOutcome::Stored { .. } => {}
            // A job that may be stored is never sent again by the client: you decide.
            JobOutcome::Failed(PostError::Unknown { detail, .. }) => {
                println!("job {number} may be stored or not: {detail}");
            }
            JobOutcome::Failed(error) => println!("job {number} is not stored: {error}"),
        }
    }
    Ok(())
}
