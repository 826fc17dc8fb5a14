//! Load: requests in a closed or an open loop, and what became of them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::Channel;
use super::clock::{micros, now_us};
use super::order::{Event, LoadOrder, LoadReport, Pattern, Refused, Until, note_at};
use super::poster::{Posted, Poster};
use crate::measure::Latencies;

/// Errors kept.
const ERRORS: usize = 5;
/// Latencies that are told one by one.
const EACH: usize = 1000;
/// A stream counts from this job on.
const STREAM_WARM: u64 = 10_000;

/// What one client of the load saw.
struct Tally {
    latencies: Latencies,
    generator_late: Latencies,
    jobs: u64,
    stored: u64,
    unknown: u64,
    not_stored: u64,
    errors: Vec<String>,
    /// Of each request, where they are counted.
    each_us: Vec<u64>,
    /// Of requests of which nothing was stored.
    refused: Latencies,
    reasons: Vec<String>,
    timeline: Vec<u64>,
}

impl Tally {
    fn new() -> Self {
        let (latencies, generator_late, refused) =
            (Latencies::new(), Latencies::new(), Latencies::new());
        Self {
            latencies,
            generator_late,
            jobs: 0,
            stored: 0,
            unknown: 0,
            not_stored: 0,
            errors: Vec::new(),
            each_us: Vec::new(),
            refused,
            reasons: Vec::new(),
            timeline: Vec::new(),
        }
    }

    /// A request within what counts was answered.
    fn took(&mut self, posted: &Posted, us: u64) {
        if posted.stored > 0 {
            return self.latencies.record(us);
        }
        self.refused.record(us);
        let reason = posted.error.as_deref().unwrap_or_default();
        let reason =
            reason.split(|letter: char| letter.is_ascii_digit()).next().unwrap_or_default();
        if self.reasons.len() < ERRORS && self.reasons.iter().all(|known| known != reason) {
            self.reasons.push(reason.into());
        }
    }

    fn add_posted(&mut self, posted: Posted) {
        self.stored += posted.stored;
        self.unknown += posted.unknown;
        self.not_stored += posted.not_stored;
        self.errors.extend(posted.error);
        self.errors.truncate(ERRORS);
    }

    fn count(&mut self, jobs: u64, took_us: u64) {
        self.jobs += jobs;
        self.latencies.record(took_us);
        if self.each_us.len() < EACH {
            self.each_us.push(took_us);
        }
    }

    fn note(&mut self, request: Result<Request, JoinError>, window: &Range<u64>) {
        let request = match request {
            Ok(request) => request,
            Err(error) => return self.errors.push(error.to_string()),
        };
        if window.contains(&request.end_us) {
            self.jobs += request.posted.stored;
        }
        if window.contains(&request.intended_us) {
            self.generator_late.record(request.late_us);
            self.took(&request.posted, request.end_us.saturating_sub(request.intended_us));
        }
        self.add_posted(request.posted);
    }

    fn add(&mut self, other: Self) {
        self.latencies.add(&other.latencies);
        self.refused.add(&other.refused);
        self.reasons.extend(other.reasons);
        self.reasons.sort_unstable();
        self.reasons.dedup();
        self.generator_late.add(&other.generator_late);
        self.jobs += other.jobs;
        self.timeline.resize(self.timeline.len().max(other.timeline.len()), 0);
        self.timeline.iter_mut().zip(other.timeline).for_each(|(all, jobs)| *all += jobs);
        self.each_us.extend(other.each_us);
        self.each_us.truncate(EACH);
        self.stored += other.stored;
        self.unknown += other.unknown;
        self.not_stored += other.not_stored;
        self.errors.extend(other.errors);
        self.errors.truncate(ERRORS);
    }
}

/// Whether the benchmark is told that what counts begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Announce {
    WhatCounts,
    Nothing,
}

/// Gives jobs their numbers.
struct Numbers {
    next: AtomicU64,
    batch: u64,
}

impl Numbers {
    fn take(&self) -> Range<u64> {
        let first = self.next.fetch_add(self.batch, Ordering::Relaxed);
        first..first + self.batch
    }
}

struct Load {
    poster: Poster,
    numbers: Numbers,
}

pub(crate) async fn run(order: LoadOrder, mut channel: Channel) -> anyhow::Result<()> {
    let batch = order.batch.max(1) as u64;
    let poster = Poster::connect(&order).await?;
    let load = Arc::new(Load { poster, numbers: Numbers { next: AtomicU64::new(0), batch } });
    Channel::say(&Event::Ready(None));
    let work = async {
        match order.pattern {
            Pattern::Closed { clients, until: Until::Time(lasts) } => {
                closed_for(&load, clients, order.warm_up, lasts, Announce::WhatCounts).await
            }
            Pattern::Closed { clients, until: Until::Jobs { count, at_most } } => {
                // Without one, what counts begins with the first request of all.
                let warm_up = match order.warm_up {
                    Duration::ZERO => Tally::new(),
                    lasts => {
                        closed_for(&load, clients, Duration::ZERO, lasts, Announce::Nothing).await.0
                    }
                };
                closed_count(&load, clients, count, at_most, warm_up).await
            }
            Pattern::Closed { until: Until::Streamed { count }, .. } => {
                streamed(&load, count).await
            }
            Pattern::Open { per_second, lasts } => {
                open(&load, per_second, order.warm_up, lasts).await
            }
        }
    };
    let (tally, mut report) = tokio::select! {
        result = work => result,
        () = channel.end() => anyhow::bail!("told to end"),
    };
    report.each_us.clone_from(&tally.each_us);
    report.timeline.clone_from(&tally.timeline);
    report.jobs = tally.jobs;
    report.latency = tally.latencies.summary();
    report.refused = Refused { latency: tally.refused.summary(), reasons: tally.reasons };
    report.numbered = load.numbers.next.load(Ordering::Relaxed);
    (report.stored, report.unknown, report.not_stored, report.errors) =
        (tally.stored, tally.unknown, tally.not_stored, tally.errors);
    Channel::say(&Event::Loaded(Box::new(report)));
    channel.end().await;
    Ok(())
}

/// So many clients for a time. Jobs answered within it count, whenever they were posted, so the
/// pipe is as full at its beginning as at its end; latencies are those of the requests that began
/// within it.
async fn closed_for(
    load: &Arc<Load>,
    clients: usize,
    warm_up: Duration,
    lasts: Duration,
    announce: Announce,
) -> (Tally, LoadReport) {
    let from = now_us() + micros(warm_up);
    let to = from + micros(lasts);
    let stop = Arc::new(AtomicBool::new(false));
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (load, stop) = (Arc::clone(load), Arc::clone(&stop));
        running.spawn(async move {
            let mut tally = Tally::new();
            while !stop.load(Ordering::Relaxed) {
                let begin = now_us();
                let posted = load.poster.post(load.numbers.take(), begin).await;
                let end = now_us();
                if (from..to).contains(&end) {
                    tally.jobs += posted.stored;
                    note_at(&mut tally.timeline, end - from, posted.stored);
                }
                // By its beginning: those that take longest end after the window, and are waited
                // for.
                if (from..to).contains(&begin) {
                    tally.took(&posted, end - begin);
                }
                let failed = posted.stored == 0;
                tally.add_posted(posted);
                if failed {
                    // A refusal comes at once; asking as fast as it comes would only heat the
                    // processor.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            tally
        });
    }
    tokio::time::sleep(warm_up).await;
    if announce == Announce::WhatCounts {
        Channel::say(&Event::Measuring);
    }
    tokio::time::sleep(lasts).await;
    if announce == Announce::WhatCounts {
        Channel::say(&Event::Measured);
    }
    stop.store(true, Ordering::Relaxed);
    let tally = join(running).await;
    (tally, LoadReport { seconds: lasts.as_secs_f64(), ..LoadReport::default() })
}

/// So many jobs by so many clients, from the first request to the last answer.
async fn closed_count(
    load: &Arc<Load>,
    clients: usize,
    count: u64,
    at_most: Duration,
    warm_up: Tally,
) -> (Tally, LoadReport) {
    let left = Arc::new(AtomicU64::new(count.div_ceil(load.numbers.batch)));
    Channel::say(&Event::Measuring);
    let begin = now_us();
    let give_up = begin + micros(at_most);
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (load, left) = (Arc::clone(load), Arc::clone(&left));
        running.spawn(async move {
            let mut tally = Tally::new();
            while now_us() < give_up
                && left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |requests| {
                        requests.checked_sub(1)
                    })
                    .is_ok()
            {
                let begin = now_us();
                let posted = load.poster.post(load.numbers.take(), begin).await;
                tally.count(posted.stored, now_us() - begin);
                tally.add_posted(posted);
            }
            tally
        });
    }
    let mut tally = join(running).await;
    let seconds = (now_us() - begin) as f64 / 1e6;
    Channel::say(&Event::Measured);
    let cut_short = left.load(Ordering::Relaxed) > 0;
    // Of the warm-up, only that its jobs must arrive too counts.
    tally.stored += warm_up.stored;
    tally.unknown += warm_up.unknown;
    tally.not_stored += warm_up.not_stored;
    tally.errors.extend(warm_up.errors);
    (tally, LoadReport { seconds, cut_short, ..LoadReport::default() })
}

/// What one request of an open loop was like.
struct Request {
    intended_us: u64,
    late_us: u64,
    end_us: u64,
    posted: Posted,
}

/// Requests at intended times, evenly apart. A latency counts from the intended time, so that what
/// is slow can't hide by holding up what comes after it; jobs count that were answered within the
/// window.
async fn open(
    load: &Arc<Load>,
    per_second: f64,
    warm_up: Duration,
    lasts: Duration,
) -> (Tally, LoadReport) {
    let gap = Duration::from_secs_f64(1.0 / per_second.max(0.001));
    let (start, start_us) = (Instant::now(), now_us());
    let window = start_us + micros(warm_up)..start_us + micros(warm_up + lasts);
    let requests = ((warm_up + lasts).as_secs_f64() * per_second) as u32;
    let announce = async {
        tokio::time::sleep_until(start + warm_up).await;
        Channel::say(&Event::Measuring);
        tokio::time::sleep_until(start + warm_up + lasts).await;
        Channel::say(&Event::Measured);
    };
    let mut tally = Tally::new();
    let generate = async {
        let mut running = JoinSet::new();
        for number in 0..requests {
            let offset = gap * number;
            let intended_us = start_us + micros(offset);
            let load = Arc::clone(load);
            tokio::time::sleep_until(start + offset).await;
            running.spawn(async move {
                let late_us = now_us().saturating_sub(intended_us);
                let posted = load.poster.post(load.numbers.take(), intended_us).await;
                Request { intended_us, late_us, end_us: now_us(), posted }
            });
            while let Some(request) = running.try_join_next() {
                tally.note(request, &window);
            }
        }
        while let Some(request) = running.join_next().await {
            tally.note(request, &window);
        }
    };
    tokio::join!(announce, generate);
    let generator_late_p99_us = Some(tally.generator_late.percentile(99.0));
    (
        tally,
        LoadReport { seconds: lasts.as_secs_f64(), generator_late_p99_us, ..LoadReport::default() },
    )
}

/// So many jobs in one request. What counts begins with the result of the 10,000th.
async fn streamed(load: &Arc<Load>, count: u64) -> (Tally, LoadReport) {
    let mut tally = Tally::new();
    let mut begin = now_us();
    let mut results = 0;
    let mut each = |posted: Posted| {
        results += 1;
        if results == STREAM_WARM {
            begin = now_us();
            Channel::say(&Event::Measuring);
        } else if results > STREAM_WARM {
            tally.jobs += posted.stored;
        }
        tally.add_posted(posted);
    };
    let outcome = load.poster.stream(0..count, &mut each).await;
    if results < STREAM_WARM {
        Channel::say(&Event::Measuring);
    }
    Channel::say(&Event::Measured);
    if let Err(error) = outcome {
        tally.unknown += count.saturating_sub(results);
        tally.errors.push(error);
    }
    load.numbers.next.store(count, Ordering::Relaxed);
    (tally, LoadReport { seconds: (now_us() - begin) as f64 / 1e6, ..LoadReport::default() })
}

async fn join(mut running: JoinSet<Tally>) -> Tally {
    let mut all = Tally::new();
    while let Some(result) = running.join_next().await {
        match result {
            Ok(tally) => all.add(tally),
            Err(error) => all.errors.push(error.to_string()),
        }
    }
    all
}
