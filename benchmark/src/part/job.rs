//! The jobs that the benchmark itself pushes, as its own workers and the attendant know them.

use std::time::Duration;

use faktory_link::EncodedJob;
use faktory_wire::{Job, RawJson};

/// The type of jobs that the benchmark's workers run. Args: the job's number, the time of posting
/// in microseconds, and how long the job takes in microseconds.
pub(crate) const TIMED: &str = "benchmark_timed";

/// The type of jobs that no worker runs, with args of some size.
pub(crate) const EVENTS: &str = "benchmark_events";

/// A time of posting that asks the worker to report how long the job waited in its queue.
pub(crate) const ASKS_FOR_WAIT: u64 = 1;

/// A job for the benchmark's workers.
pub(crate) fn timed(queue: &str, number: u64, posted_us: u64, takes: Duration) -> EncodedJob {
    encoded(TIMED, queue, timed_args(number, posted_us, takes))
}

/// A job for the benchmark's workers, with its own number of retries and its own reservation.
pub(crate) fn timed_with(
    queue: &str,
    (number, posted_us, takes): (u64, u64, Duration),
    retry: i64,
    reserve_for: i64,
) -> EncodedJob {
    EncodedJob::from(Job {
        retry: Some(retry),
        reserve_for: Some(reserve_for),
        ..plain(TIMED, queue, timed_args(number, posted_us, takes))
    })
}

/// A job of any type, as our own link sends it.
pub(crate) fn encoded(job_type: &str, queue: &str, args: String) -> EncodedJob {
    EncodedJob::from(plain(job_type, queue, args))
}

fn timed_args(number: u64, posted_us: u64, takes: Duration) -> String {
    format!("[{number},{posted_us},{}]", takes.as_micros())
}

fn plain(job_type: &str, queue: &str, args: String) -> Job {
    Job {
        jid: format!("{:032x}", fastrand::u128(..)),
        jobtype: job_type.into(),
        args: Some(RawJson::from_checked(args)),
        queue: (queue != faktory_wire::DEFAULT_QUEUE).then(|| queue.into()),
        retry: Some(faktory_wire::DEFAULT_RETRY),
        reserve_for: Some(faktory_wire::DEFAULT_RESERVE_FOR),
        ..Job::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timed_job_carries_its_number_its_time_of_posting_and_its_length() {
        let job = timed_with("q", (7, ASKS_FOR_WAIT, Duration::from_millis(10)), 0, 60);
        let job = Job::parse(&job.json).unwrap();
        assert_eq!(job.args.unwrap().get(), "[7,1,10000]");
        assert_eq!((job.jobtype.as_str(), job.queue.as_deref()), (TIMED, Some("q")));
        assert_eq!((job.retry, job.reserve_for), (Some(0), Some(60)));
    }

    #[test]
    fn a_job_for_the_default_queue_names_no_queue() {
        let job = Job::parse(&encoded("add", "default", "[1,1]".into()).json).unwrap();
        assert_eq!(job.queue, None);
    }
}
