//! A server is filled with many jobs, in steps; after each step it is looked at, and jobs are
//! pushed, fetched and acknowledged for a moment.

use std::time::{Duration, Instant};

use super::raw_load::load;
use super::servers::Server;
use crate::distance::Distance;
use crate::part::order::{RawOrder, RawWork};
use crate::processor::{self, Usage};
use crate::report::{Counts, Depth, Run};
use crate::runner::VOID_RETRIES;
use crate::runner::load::per_second;

/// The steps.
const STEPS: u64 = 10;
/// How long jobs are pushed, fetched and acknowledged after each step, and before that counts.
const LASTS: Duration = Duration::from_millis(400);
const WARM_UP: Duration = Duration::from_millis(100);

/// Fills a server, which must be empty, with this many jobs.
pub(super) fn fill(
    server: &mut Server,
    distance: &Distance,
    jobs: u64,
) -> anyhow::Result<Vec<Depth>> {
    let mut depths = Vec::new();
    let mut filled = 0;
    for step in 1..=STEPS {
        let more = jobs * step / STEPS - filled;
        let begin = Instant::now();
        server.fill(distance, more)?;
        let fill_us = begin.elapsed().as_secs_f64() * 1e6 / more.max(1) as f64;
        filled += more;
        depths.push(Depth { fill_us, ..look(server, distance, filled)? });
    }
    Ok(depths)
}

/// What a server with this many jobs uses, and what a job costs it. Where other processes ran
/// meanwhile, it is measured again, a few times at the most.
fn look(server: &Server, distance: &Distance, jobs: u64) -> anyhow::Result<Depth> {
    let mut depth = Depth::default();
    for _ in 0..=VOID_RETRIES {
        processor::wait_until_idle(&[server.id()]);
        let order = RawOrder {
            warm_up: WARM_UP,
            ..RawOrder::new(server.address.clone(), RawWork::Cycle, LASTS)
        };
        let loaded = load(distance, Some(server.id()), order)?;
        let mut run = Run { jobs: loaded.report.jobs, ..Run::default() };
        loaded.note_use(&mut run);
        let usage = Usage::now(&[("server", server.id())]);
        depth = Depth {
            jobs,
            resident_bytes: usage.resident.values().sum(),
            disk_bytes: server.disk_bytes().unwrap_or_default(),
            fill_us: 0.0,
            cycle_us: loaded.report.seconds * 1e6 / run.jobs.max(1) as f64,
            cycle_processor_us: run.processor_us_per_job.get("server").copied().unwrap_or(0.0),
        };
        if run.void.is_empty() {
            break;
        }
    }
    Ok(depth)
}

/// The filling of a server, which has been done, as a run.
pub(super) fn run_of(server: &mut Server) -> anyhow::Result<Run> {
    let depths = std::mem::take(&mut server.depths);
    let jobs = depths.last().map_or(0, |last| last.jobs);
    let each = |pair: (u64, &Depth)| (pair.1.jobs - pair.0) as f64 * pair.1.fill_us;
    let before = std::iter::once(0).chain(depths.iter().map(|depth| depth.jobs));
    let seconds = before.zip(&depths).map(each).sum::<f64>() / 1e6;
    let arrived = server.queued()?;
    let resident = depths.iter().map(|depth| depth.resident_bytes).max();
    let mut run = Run {
        jobs,
        seconds,
        jobs_per_second: per_second(jobs, seconds),
        counts: Counts { stored: jobs, arrived, ..Counts::default() },
        resident_bytes: resident.map(|bytes| ("server".to_owned(), bytes)).into_iter().collect(),
        disk_bytes: depths.iter().map(|depth| depth.disk_bytes).max(),
        depths,
        ..Run::default()
    };
    if arrived != jobs {
        run.failures.push(format!("{jobs} jobs were filled in, {arrived} are queued"));
    }
    Ok(run)
}
