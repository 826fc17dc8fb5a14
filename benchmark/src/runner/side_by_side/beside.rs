//! Single jobs at a fixed rate, while something in the server concerns very many other jobs.

use std::time::{Duration, Instant, SystemTime};

use anyhow::ensure;

use super::once::{self, PUSH_WITHIN};
use super::raw_load::judge_quiet;
use super::servers::Server;
use crate::distance::{Distance, Side};
use crate::part::order::{Attend, Event, LoadOrder, LoadReport, Order, Pattern, Shape, Via};
use crate::part::raw::QUEUE;
use crate::process::Part;
use crate::processor::Usage;
use crate::report::{Beside, Run};
use crate::runner::load::run_all_stored;
use crate::runner::watch::Watch;
use crate::scenario::{Large, Parameters};
use crate::stack::{READY_WITHIN, ready};

/// The queue of the single jobs.
const HONEST: &str = "beside";
/// How many times as long as others this measurement takes: what happens takes a time as well.
const LONGER: u32 = 12;
/// The time of the measurement before jobs are due.
const BEFORE_DUE: Duration = Duration::from_millis(500);
/// The longest time of a load beyond its own length.
const PATIENCE: Duration = Duration::from_secs(120);

/// Posts single jobs by our link, and has the event happen meanwhile. The latencies are those of
/// the posts.
pub(super) fn measure(
    server: &mut Server,
    distance: &Distance,
    (event, per_second): (Large, f64),
    parameters: &Parameters,
) -> anyhow::Result<Run> {
    let lasts = parameters.duration * LONGER;
    let due = match event {
        Large::Due { jobs } => Some(once::schedule(server, distance, jobs)?),
        Large::Nothing | Large::Remove => None,
    };
    let warm_up = due.map_or(parameters.warm_up, |(due, _)| left_until(due - BEFORE_DUE));
    let order = LoadOrder {
        via: Via::Link,
        api: None,
        key: None,
        server: Some(server.address.clone()),
        connections: parameters.connections,
        queue: HONEST.into(),
        queues: 1,
        shape: Shape::Add,
        batch: 1,
        pattern: Pattern::Open { per_second, lasts },
        warm_up,
        probe: true,
    };
    let held = server.size_of(HONEST)?;
    let load = Started::begin(distance, server.id(), order, warm_up)?;
    let beside = match (event, due) {
        (Large::Remove, _) => Some(remove(server)?),
        (_, Some((due, jobs))) => {
            std::thread::sleep(left_until(due));
            Some(Beside { jobs, seconds: once::until_none_is_scheduled(server)?.as_secs_f64() })
        }
        (_, None) => None,
    };
    let (report, mut run) = load.end(lasts)?;
    run.probed = Some(report.probed);
    run.beside = beside;
    run.disk_bytes = server.disk_bytes();
    run.counts.arrived = server.size_of(HONEST)? - held;
    if run.counts.arrived != run.counts.stored {
        run.failures.push(format!(
            "{} single jobs were stored, {} are queued",
            run.counts.stored, run.counts.arrived
        ));
    }
    if beside.is_some_and(|beside| beside.seconds > lasts.as_secs_f64()) {
        run.failures.push("the posts ended before what happened beside them".into());
    }
    Ok(run)
}

/// Removes the queue of all other jobs.
fn remove(server: &mut Server) -> anyhow::Result<Beside> {
    let jobs = server.size_of(QUEUE)?;
    let begin = Instant::now();
    server.attend(&Attend::Remove { queue: QUEUE.into() })?;
    let seconds = begin.elapsed().as_secs_f64();
    let left = server.size_of(QUEUE)?;
    ensure!(left == 0, "{left} of {jobs} jobs are queued after their queue was removed");
    Ok(Beside { jobs, seconds })
}

fn left_until(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::now()).unwrap_or_default()
}

/// A load in its measured time.
struct Started {
    part: Part,
    watch: Watch,
}

impl Started {
    /// Starts a load, and waits for its measured time.
    fn begin(
        distance: &Distance,
        server: u32,
        order: LoadOrder,
        warm_up: Duration,
    ) -> anyhow::Result<Self> {
        let part = Part::start(distance, Side::Near, &Order::Load(order))?;
        ready(&part)?;
        match part.next(warm_up + PUSH_WITHIN + READY_WITHIN)? {
            Event::Measuring => {}
            other => return part.unexpected(&other),
        }
        let watch = Watch::over(vec![("client", part.id()), ("server", server)]);
        Ok(Self { part, watch })
    }

    fn end(self, lasts: Duration) -> anyhow::Result<(LoadReport, Run)> {
        match self.part.next(lasts + PATIENCE)? {
            Event::Measured => {}
            other => return self.part.unexpected(&other),
        }
        let after: Usage = self.watch.end();
        let report = match self.part.next(PATIENCE)? {
            Event::Loaded(report) => *report,
            other => return self.part.unexpected(&other),
        };
        let mut run = run_all_stored(&report);
        self.watch.note(&after, &mut run);
        judge_quiet(&self.watch, &after, &mut run);
        Ok((report, run))
    }
}
