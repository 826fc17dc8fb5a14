//! Posts a typed job, a raw job with options, and shows the refusal of an invalid job.
//!
//! `cargo run -p client --example post_jobs [http://127.0.0.1:3000]`, with an API at that address.
#![expect(clippy::print_stdout, reason = "an example shows its results")]

use std::error::Error;
use std::time::Duration;

use client::{Client, NewJob, PostError};
use job_types::Finite;
use job_types::jobs::Add;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:3000".into());
    let client = Client::new(&address)?;

    // A typed job: the compiler knows its members.
    let number = |value| Finite::new(value).ok_or("not a finite number");
    let add = Add { a: number(1.0)?, b: number(2.5)? };
    let job_id = client.post(&NewJob::typed(&add)).await?;
    println!("stored the typed job {job_id}");

    // A raw job: a job type that a worker of yours knows, its args, and options.
    let mail = NewJob::raw("send_mail", &["ann@example.org"])?
        .queue("mails")
        .retry(3)
        .delay(Duration::from_secs(60));
    println!("stored the raw job {}", client.post(&mail).await?);

    // The error tells whether the job is stored, as far as that is known.
    let invalid = NewJob::raw("send_mail", &["bob@example.org"])?.queue("no spaces");
    match client.post(&invalid).await {
        Ok(job_id) => println!("stored the job {job_id}"),
        Err(PostError::Refused(problem)) => println!("refused: {}", problem.detail),
        Err(PostError::NotStored(why)) => println!("not stored: {why}"),
        Err(PostError::Unknown { detail, .. }) => println!("stored or not: {detail}"),
    }
    Ok(())
}
