//! The attendant: on the work server's side, it fills queues, and counts what arrived.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use faktory_link::{Connection, EncodedJob, JobOutcome, LinkPool, Pusher};
use faktory_wire::{Command, Info, Job, QueueCommand, RawJson, Reply};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::Channel;
use super::order::{Attend, AttendantOrder, Attended, Event, Server, Sets, Trickle};
use super::poster::TIMED;
use super::seen::{Seen, number_of};

/// Connections that fetch at once.
const LANES: usize = 8;
/// Jobs in one push.
const FILL: u64 = 5000;
/// The longest for one push.
const PUSH_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) async fn run(order: AttendantOrder, mut channel: Channel) -> anyhow::Result<()> {
    let connection = Connection::open(&order.server.link(1), None)
        .await
        .context("failed to reach the work server")?;
    Channel::say(&Event::Ready(None));
    while let Some(question) = channel.next::<Attend>().await {
        let answer = match question {
            Attend::Fill { queue, count, takes } => {
                fill(&order.server, &queue, count, &takes).await?
            }
            Attend::Trickle(order) => trickle(&connection, &order).await?,
            Attend::Drain { queue } => drain(&order.server, &connection, &queue).await?,
            Attend::Size { queue } => Attended::Size(size(&connection, &queue).await?),
            Attend::SizeOfAll => {
                Attended::Size(info(&connection).await?.faktory.queues.values().sum())
            }
            Attend::Pause { queue } => {
                manage(&connection, QueueCommand::Pause(vec![queue])).await?
            }
            Attend::Remove { queue } => {
                manage(&connection, QueueCommand::Remove(vec![queue])).await?
            }
            Attend::Flush => done(connection.ask(&Command::Flush).await?)?,
            Attend::Working => Attended::Size(info(&connection).await?.faktory.sets.working),
            Attend::Sets => {
                let info = info(&connection).await?.faktory;
                let (sets, failures) = (info.sets, info.total_failures);
                let (working, retries, dead, scheduled) =
                    (sets.working, sets.retries, sets.dead, sets.scheduled);
                Attended::Sets(Sets { working, retries, dead, scheduled, failures })
            }
            Attend::Version => {
                let server = info(&connection).await?.server;
                Attended::Version(format!(
                    "{} {}",
                    server.description.trim(),
                    server.faktory_version
                ))
            }
        };
        Channel::say(&Event::Attended(answer));
    }
    Ok(())
}

async fn info(connection: &Connection) -> anyhow::Result<Info> {
    match connection.ask(&Command::Info).await? {
        Reply::Bulk(json) => serde_json::from_slice(&json).context("failed to understand INFO"),
        Reply::Simple(json) => serde_json::from_slice(&json).context("failed to understand INFO"),
        other => bail!("INFO was answered with {other:?}"),
    }
}

async fn size(connection: &Connection, queue: &str) -> anyhow::Result<u64> {
    Ok(info(connection).await?.faktory.queues.get(queue).copied().unwrap_or(0))
}

async fn manage(connection: &Connection, command: QueueCommand) -> anyhow::Result<Attended> {
    done(connection.ask(&Command::Queue(command)).await?)
}

fn done(reply: Reply) -> anyhow::Result<Attended> {
    match reply {
        Reply::Simple(_) => Ok(Attended::Done),
        other => bail!("the work server answered {other:?}"),
    }
}

async fn fill(
    server: &Server,
    queue: &str,
    count: u64,
    takes: &[Duration],
) -> anyhow::Result<Attended> {
    let pusher = Pusher::new(
        LinkPool::new(server.link_without_breaker(LANES))
            .map_err(|error| anyhow::anyhow!("{error}"))?,
    );
    let mut next = 0;
    while next < count {
        let end = (next + FILL).min(count);
        let jobs = (next..end)
            .map(|number| {
                let takes =
                    takes.get(number as usize % takes.len().max(1)).copied().unwrap_or_default();
                timed_job(queue, number, 0, takes)
            })
            .collect();
        let outcomes = pusher.push(jobs, Instant::now() + PUSH_TIMEOUT).await;
        if let Some(fault) = outcomes.iter().find(|outcome| **outcome != JobOutcome::Stored) {
            bail!("failed to fill the queue: {fault:?}");
        }
        next = end;
    }
    pusher.close().await;
    Ok(Attended::Done)
}

/// A job's time of posting that asks its worker how long it waited in its queue.
pub(crate) const ASKS_FOR_WAIT: u64 = 1;

/// A reservation as short as there is.
const SHORT_RESERVATION: i64 = 60;

async fn trickle(connection: &Connection, order: &Trickle) -> anyhow::Result<Attended> {
    for number in 0..order.count {
        tokio::time::sleep(order.apart.mul_f64(0.5 + fastrand::f64())).await;
        let takes = order
            .takes
            .get(number as usize % order.takes.len().max(1))
            .copied()
            .unwrap_or_default();
        let retry = order.retries.get(number as usize % order.retries.len().max(1)).copied();
        let args = format!("[{},{ASKS_FOR_WAIT},{}]", order.first + number, takes.as_micros());
        let job = timed(
            &order.queue,
            args,
            retry.unwrap_or(faktory_wire::DEFAULT_RETRY),
            SHORT_RESERVATION,
        );
        let mut line = Vec::new();
        faktory_wire::encode_pushb([job.json.as_slice()], &mut line);
        match connection.submit(line).await?.await? {
            Reply::Bulk(refused) if refused.as_ref() == b"{}" => {}
            other => bail!("a push was answered with {other:?}"),
        }
    }
    Ok(Attended::Done)
}

/// A job for the benchmark's own workers.
pub(crate) fn timed_job(queue: &str, number: u64, posted_us: u64, takes: Duration) -> EncodedJob {
    let args = format!("[{number},{posted_us},{}]", takes.as_micros());
    job(TIMED, queue, args)
}

/// A job as our own link sends it.
pub(crate) fn job(job_type: &str, queue: &str, args: String) -> EncodedJob {
    EncodedJob::from(plain(job_type, queue, args))
}

fn timed(queue: &str, args: String, retry: i64, reserve_for: i64) -> EncodedJob {
    EncodedJob::from(Job {
        retry: Some(retry),
        reserve_for: Some(reserve_for),
        ..plain(TIMED, queue, args)
    })
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

/// Fetches just what is there: a FETCH too many would wait for 2 s.
async fn drain(server: &Server, connection: &Connection, queue: &str) -> anyhow::Result<Attended> {
    let mut seen = Seen::default();
    loop {
        let left = size(connection, queue).await?;
        if left == 0 {
            return Ok(Attended::Drained { jobs: seen.all(), distinct: seen.distinct() });
        }
        let budget = Arc::new(AtomicI64::new(i64::try_from(left)?));
        for numbers in
            try_join_all((0..LANES).map(|_| drain_lane(server, queue, Arc::clone(&budget)))).await?
        {
            numbers.into_iter().for_each(|number| seen.note(number));
        }
    }
}

async fn drain_lane(
    server: &Server,
    queue: &str,
    budget: Arc<AtomicI64>,
) -> anyhow::Result<Vec<u64>> {
    let connection = Connection::open(&server.link(1), None).await?;
    let fetch = Command::Fetch(vec![queue.to_owned()]).to_line();
    let (mut numbers, mut acks) = (Vec::new(), Vec::new());
    while budget.fetch_sub(1, Ordering::Relaxed) > 0 {
        match connection.submit(fetch.clone()).await?.await? {
            Reply::Bulk(json) => {
                let job = Job::parse(&json).map_err(|error| anyhow::anyhow!("{error}"))?;
                numbers.push(
                    job.args
                        .as_ref()
                        .and_then(|args| number_of(args.get()))
                        .context("a job that is not the benchmark's")?,
                );
                acks.push(connection.submit(Command::Ack(job.jid).to_line()).await?);
            }
            Reply::Nothing => break,
            other => bail!("FETCH was answered with {other:?}"),
        }
    }
    for ack in acks {
        ack.await?;
    }
    connection.close().await;
    Ok(numbers)
}
