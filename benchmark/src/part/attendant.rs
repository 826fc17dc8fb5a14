//! The attendant: a client beside the work server that fills queues and counts arrived jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use faktory_link::{Connection, JobOutcome, LinkPool, Pusher};
use faktory_wire::{Command, Info, Job, QueueCommand, Reply, Word};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::Channel;
use super::job::{self, ASKS_FOR_WAIT};
use super::order::{Attend, AttendantOrder, Attended, Event, Server, Sets, Trickle};
use super::seen::{Seen, number_of};

/// The number of connections that drain a queue at once.
const LANES: usize = 8;
/// The number of jobs in one push.
const FILL: u64 = 5000;
/// The longest time for one push.
const PUSH_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) async fn run(order: AttendantOrder, mut channel: Channel) -> anyhow::Result<()> {
    let connection = Connection::open(&order.server.link(1), None)
        .await
        .context("failed to reach the work server")?;
    Channel::say(&Event::Ready(None));
    while let Some(task) = channel.next::<Attend>().await {
        let answer = attend(&order.server, &connection, task).await?;
        Channel::say(&Event::Attended(answer));
    }
    Ok(())
}

async fn attend(
    server: &Server,
    connection: &Connection,
    task: Attend,
) -> anyhow::Result<Attended> {
    match task {
        Attend::Fill { queue, count, takes } => fill(server, &queue, count, &takes).await,
        Attend::Trickle(order) => trickle(connection, &order).await,
        Attend::Drain { queue } => drain(server, connection, &queue).await,
        Attend::Size { queue } => Ok(Attended::Size(size(connection, &queue).await?)),
        Attend::SizeOfAll => {
            Ok(Attended::Size(info(connection).await?.faktory.queues.values().sum()))
        }
        Attend::Pause { queue } => {
            manage(connection, QueueCommand::Pause(vec![Word::new(queue)?])).await
        }
        Attend::Remove { queue } => {
            manage(connection, QueueCommand::Remove(vec![Word::new(queue)?])).await
        }
        Attend::Flush => done(connection.ask(&Command::Flush).await?),
        Attend::Working => Ok(Attended::Size(info(connection).await?.faktory.sets.working)),
        Attend::Sets => {
            let info = info(connection).await?.faktory;
            let (sets, failures) = (info.sets, info.total_failures);
            let (working, retries, dead, scheduled) =
                (sets.working, sets.retries, sets.dead, sets.scheduled);
            Ok(Attended::Sets(Sets { working, retries, dead, scheduled, failures }))
        }
        Attend::Version => {
            let server = info(connection).await?.server;
            let name = server.description.trim();
            Ok(Attended::Version(format!("{name} {}", server.faktory_version)))
        }
    }
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
                let takes = in_turn(takes, number).unwrap_or_default();
                job::timed(queue, number, 0, takes)
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

/// The shortest reservation that a work server accepts, in seconds.
const SHORT_RESERVATION: i64 = 60;

async fn trickle(connection: &Connection, order: &Trickle) -> anyhow::Result<Attended> {
    for number in 0..order.count {
        tokio::time::sleep(order.apart.mul_f64(0.5 + fastrand::f64())).await;
        let takes = in_turn(&order.takes, number).unwrap_or_default();
        let retry = in_turn(&order.retries, number);
        let job = job::timed_with(
            &order.queue,
            (order.first + number, ASKS_FOR_WAIT, takes),
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

/// The value for a job's number, where the values are used in turn.
fn in_turn<T: Copy>(values: &[T], number: u64) -> Option<T> {
    values.get(number as usize % values.len().max(1)).copied()
}

/// Fetches no more jobs than the queue has: one FETCH too many would block for 2 s.
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
    let fetch = Command::Fetch(vec![Word::new(queue)?]).to_line();
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
