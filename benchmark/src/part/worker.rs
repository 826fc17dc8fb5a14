//! Workers that note what they ran: ours, and the faktory crate's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faktory_wire::Timestamp;
use service_runtime::Role;
use tokio::signal::unix::{SignalKind, signal};
use worker_service::{Job, Worker, WorkerConfig};

use super::Channel;
use super::attendant::ASKS_FOR_WAIT;
use super::clock::{micros, now_us};
use super::order::{Event, Handlers, Via, WorkerOrder, WorkerQuestion, WorkerReport, note_at};
use super::poster::{TIMED, connected};
use super::run_log::RunLog;
use super::seen::Seen;
use crate::measure::Latencies;

/// How often the connections being made are looked at.
const LOOK: Duration = Duration::from_millis(5);

/// One run of a job.
#[derive(Debug, Clone, Copy)]
struct Run {
    number: u64,
    /// When it was to be posted; 0 where that does not matter.
    posted_us: u64,
    begin_us: u64,
    end_us: u64,
    /// How long it waited in its queue, where it asks for that.
    waited_us: Option<u64>,
}

type Runs = Arc<Mutex<Vec<Run>>>;

pub(crate) async fn run(order: WorkerOrder, mut channel: Channel) -> anyhow::Result<()> {
    let runs = Runs::default();
    match order.via {
        Via::Crate => {
            // The crate makes its connections one after the other, three round trips each, and runs
            // jobs on those that it has.
            let wanted = sockets() + order.concurrency + 1;
            let mut worker = std::pin::pin!(crate_worker(&order, Arc::clone(&runs)).await?);
            while sockets() < wanted {
                tokio::select! {
                    result = &mut worker => return result,
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
            Channel::say(&Event::Ready(None));
            // Not known of the crate.
            let held = AtomicU64::new(0);
            tokio::select! {
                result = &mut worker => result?,
                () = answer(&mut channel, &runs, &held) => {}
            }
        }
        Via::Worker | Via::Http | Via::Link => {
            let mut config =
                WorkerConfig::from_settings(&service_runtime::start(Role::Worker, None)?);
            config.link = order.server.reached_with(config.link);
            let shutdown_timeout = config.shutdown_timeout;
            let handlers = order.handlers;
            let noted = Arc::clone(&runs);
            let log = order.log.as_deref().map(RunLog::open).transpose()?.map(Arc::new);
            let worker = Worker::builder(config).register_fn(TIMED, move |job: Job| {
                let (runs, log) = (Arc::clone(&noted), log.clone());
                async move {
                    work(
                        job.args_json(),
                        || job.enqueued_at.as_deref(),
                        &runs,
                        log.as_deref(),
                        handlers,
                    )
                    .await
                }
            });
            let mut terminated = signal(SignalKind::terminate())?;
            let mut worker = worker.start()?;
            worker.connected().await;
            Channel::say(&Event::Ready(None));
            let most = AtomicU64::new(0);
            let look = async {
                loop {
                    most.fetch_max(worker.held() as u64, Ordering::Relaxed);
                    tokio::time::sleep(LOOK).await;
                }
            };
            tokio::select! {
                () = answer(&mut channel, &runs, &most) => worker.stop(Duration::from_secs(5)).await,
                _ = terminated.recv() => worker.stop(shutdown_timeout).await,
                () = look => {}
            }
        }
    }
    Ok(())
}

async fn answer(channel: &mut Channel, runs: &Runs, held: &AtomicU64) {
    while let Some(question) = channel.next::<WorkerQuestion>().await {
        let runs = runs.lock().map(|runs| runs.clone()).unwrap_or_default();
        let report = WorkerReport {
            held: held.load(Ordering::Relaxed),
            ..report(&runs, question.from_us, question.to_us)
        };
        Channel::say(&Event::Ran(Box::new(report)));
    }
}

async fn work<'a>(
    args: &str,
    enqueued_at: impl FnOnce() -> Option<&'a str>,
    runs: &Runs,
    log: Option<&RunLog>,
    handlers: Handlers,
) -> Result<(), String> {
    let begin_us = now_us();
    // Faktory turns numbers into float64.
    let [number, posted_us, takes_us] = serde_json::from_str::<[f64; 3]>(args)
        .map_err(|error| error.to_string())?
        .map(|arg| arg as u64);
    log.inspect(|log| log.begun(number));
    let waited = |since| micros(Timestamp::now().since(since));
    let asks = || enqueued_at().and_then(|text| Timestamp::parse(text).ok()).map(waited);
    let waited_us = if posted_us == ASKS_FOR_WAIT { asks() } else { None };
    let takes = Duration::from_micros(takes_us);
    match handlers {
        Handlers::Sleep if takes.is_zero() => {}
        Handlers::Sleep => tokio::time::sleep(takes).await,
        Handlers::UseProcessor => tokio::task::spawn_blocking(move || use_processor(takes))
            .await
            .map_err(|error| error.to_string())?,
    }
    log.inspect(|log| log.ended(number));
    if let Ok(mut runs) = runs.lock() {
        runs.push(Run { number, posted_us, begin_us, end_us: now_us(), waited_us });
    }
    Ok(())
}

/// Uses so much of a processor's time, however long it takes to get that.
fn use_processor(time: Duration) {
    let used = || {
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)
            .map(Duration::from)
            .unwrap_or(Duration::MAX)
    };
    let end = used().saturating_add(time);
    while used() < end {
        std::hint::spin_loop();
    }
}

/// A worker as the crate's documentation shows it.
async fn crate_worker(
    order: &WorkerOrder,
    runs: Runs,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>>> {
    let url = order.server.url();
    let connect = || {
        let builder: faktory::WorkerBuilder<std::io::Error> =
            faktory::Worker::builder().workers(order.concurrency);
        let (runs, url) = (Arc::clone(&runs), url.clone());
        let builder = builder.register_fn(TIMED, move |job| {
            let runs = Arc::clone(&runs);
            async move {
                let args = serde_json::Value::from(job.args().to_vec()).to_string();
                work(&args, || None, &runs, None, Handlers::Sleep)
                    .await
                    .map_err(std::io::Error::other)
            }
        });
        async move { builder.connect_to(&url).await }
    };
    let mut worker = connected(connect).await?;
    let queue = order.queue.clone();
    Ok(async move {
        worker.run(&[queue]).await?;
        Ok(())
    })
}

/// How many sockets this process has open.
fn sockets() -> usize {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return usize::MAX };
    let is_socket = |entry: &std::fs::DirEntry| {
        std::fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
    };
    entries.filter_map(Result::ok).filter(is_socket).count()
}

fn report(runs: &[Run], from_us: u64, to_us: u64) -> WorkerReport {
    let (mut seen, mut latencies, mut waits, mut took) =
        (Seen::default(), Latencies::new(), Latencies::new(), Latencies::new());
    let mut report = WorkerReport::default();
    for run in runs {
        seen.note(run.number);
        run.waited_us.into_iter().for_each(|us| waits.record(us));
        report.last_end_us = report.last_end_us.max(run.end_us);
        let within = run.end_us.min(to_us).saturating_sub(run.begin_us.max(from_us));
        report.handler_seconds += within as f64 / 1e6;
        if (from_us..to_us).contains(&run.end_us) {
            report.counted += 1;
            note_at(&mut report.timeline, run.end_us - from_us, 1);
            took.record(run.end_us.saturating_sub(run.begin_us));
            // Not those of the warm-up that ended late.
            if run.posted_us >= from_us.max(1) {
                latencies.record(run.end_us.saturating_sub(run.posted_us));
            }
        }
    }
    (report.runs, report.distinct) = (seen.all(), seen.distinct());
    (report.latency, report.waited, report.took) =
        (latencies.summary(), waits.summary(), took.summary());
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_what_ended_in_the_span_and_the_handlers_time_within_it() {
        let run = |number, begin_us, end_us| Run {
            number,
            posted_us: begin_us,
            begin_us,
            end_us,
            waited_us: None,
        };
        let runs = [
            run(0, 0, 100),
            run(1, 900_000, 1_100_000),
            run(2, 1_200_000, 1_300_000),
            run(2, 1_900_000, 2_500_000),
        ];
        let report = report(&runs, 1_000_000, 2_000_000);
        assert_eq!((report.runs, report.distinct, report.counted), (4, 3, 2));
        assert!((report.handler_seconds - 0.3).abs() < 1e-9, "{report:?}");
        assert_eq!((report.latency.count, report.last_end_us), (1, 2_500_000));
    }
}
