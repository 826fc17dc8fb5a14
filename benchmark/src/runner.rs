//! Goes through scenarios, networks and repetitions, and measures each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::bail;
use link_emulator::Verdict;

use crate::distance::{Congestion, Side};
use crate::measure::{Latencies, Latency, Spread};
use crate::network::Network;
use crate::part::clock::now_us;
use crate::part::order::{
    Attend, Attended, Event, LoadOrder, LoadReport, Order, Pattern, Shape, Until, Via, WorkerOrder, WorkerQuestion, WorkerReport,
};
use crate::process::Part;
use crate::processor::Usage;
use crate::progress::Progress;
use crate::report::{Counts, Figure, MeasuredNetwork, Report, Run};
use crate::scenario::{Kind, Mix, Pace, Parameters, Scenario};
use crate::stack::{READY_WITHIN, ServerKind, Stack, ready};

/// An API is started and ready within so long, without the distance.
const API_STARTS: Duration = Duration::from_millis(500);
/// The longest for a stream.
const STREAM_WITHIN: Duration = Duration::from_secs(300);
/// How often a void run is measured again.
const VOID_RETRIES: usize = 2;
/// The longest for one measurement beyond what it is to take.
const PATIENCE: Duration = Duration::from_secs(150);
/// How many times as long as it was posted the backlog of an open loop may take.
const BACKLOG: u32 = 20;
/// Up to so many jobs, each that arrived is looked at; of more, only their number.
const LOOK_AT_EACH: u64 = 60_000;
/// More no-op jobs a second than any worker of today runs here.
const WORK_RATE_MAX: f64 = 15_000.0;
/// The longest that a worker may take to run what is on its way when its queue has been paused.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// What is to be measured.
pub(crate) struct Plan {
    pub(crate) kind: ServerKind,
    pub(crate) networks: Vec<Network>,
    pub(crate) scenarios: Vec<Scenario>,
    /// Only these ways; all where empty.
    pub(crate) vias: Vec<Via>,
    pub(crate) parameters: Parameters,
    pub(crate) congestion: Congestion,
    /// Why a proxy stands in for the emulator, where it does.
    pub(crate) proxy_because: Option<String>,
    /// Only what this picks, by network, scenario and way; everything where there is none.
    pub(crate) pick: Option<fn(&str, &str, Via) -> bool>,
}

impl Plan {
    fn vias(&self, scenario: &Scenario) -> Vec<Via> {
        let (has_api, is_given) = match &self.kind {
            ServerKind::Given { api, .. } => (api.is_some(), true),
            ServerKind::Broker | ServerKind::Faktory(_) => (true, false),
        };
        let possible = |via: &&Via| (**via != Via::Http || has_api || !is_given) && (self.vias.is_empty() || self.vias.contains(via));
        scenario.vias().iter().filter(possible).copied().collect()
    }

    /// Every measurement of one repetition on one network.
    fn measurements(&self, network: &Network) -> Vec<(&Scenario, Via)> {
        let all = self.scenarios.iter().flat_map(|scenario| self.vias(scenario).into_iter().map(move |via| (scenario, via)));
        all.filter(|(scenario, via)| self.pick.is_none_or(|pick| pick(&network.name, &scenario.name, *via))).collect()
    }

    /// The same in the order of a repetition: every other one has the ways of each scenario the other way round, so that none always comes
    /// after another.
    fn measurements_of(&self, network: &Network, repetition: usize) -> Vec<(&Scenario, Via)> {
        let mut measurements = self.measurements(network);
        if repetition.is_multiple_of(2) {
            for same_scenario in measurements.chunk_by_mut(|(one, _), (other, _)| one.name == other.name) {
                same_scenario.reverse();
            }
        }
        measurements
    }

    pub(crate) fn len(&self) -> usize {
        let of = |network: &Network| self.measurements(network).len();
        self.networks.iter().map(of).sum::<usize>() * self.parameters.repetitions
    }

    /// Roughly how long it takes: what is asked for, processes that start, queues that are looked at, and the baseline's round trips.
    pub(crate) fn estimate(&self) -> Duration {
        let parameters = &self.parameters;
        let one = |network: &Network, scenario: &Scenario, via: Via| {
            let round_trip = network.round_trip();
            let measured = match scenario.kind {
                Kind::Enqueue { pace: Pace::Jobs { .. }, .. } if !via.is_baseline() => round_trip * 10,
                Kind::Enqueue { pace: Pace::Jobs { .. }, .. } => parameters.at_most.min(round_trip * 20),
                Kind::Enqueue { pace: Pace::Stream { count }, .. } => Duration::from_secs(count / 50_000),
                Kind::AfterReady { requests, times, .. } => {
                    (round_trip * u32::try_from(requests).unwrap_or(u32::MAX) + API_STARTS) * u32::try_from(times).unwrap_or(u32::MAX)
                }
                Kind::Enqueue { .. } | Kind::Work { .. } | Kind::EndToEnd { .. } => parameters.duration,
            };
            let connecting = match scenario.kind {
                Kind::Work { concurrency, .. } | Kind::EndToEnd { concurrency, .. } if via.is_baseline() => {
                    round_trip * 3 * u32::try_from(concurrency).unwrap_or(0)
                }
                Kind::Work { .. } | Kind::EndToEnd { .. } | Kind::Enqueue { .. } | Kind::AfterReady { .. } => round_trip * 6,
            };
            measured + connecting + parameters.warm_up + Duration::from_millis(700)
        };
        let of =
            |network: &Network| self.measurements(network).iter().map(|(scenario, via)| one(network, scenario, *via)).sum::<Duration>();
        let round: Duration = self.networks.iter().map(of).sum();
        round * u32::try_from(parameters.repetitions).unwrap_or(u32::MAX)
    }
}

/// Measures everything in the plan: each repetition goes through all networks, each with a stack of its own.
pub(crate) fn run(plan: &Plan, report: &mut Report, progress: &Progress) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut round_trips: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut queues = 0;
    for network in &plan.networks {
        for (scenario, via) in plan.measurements(network) {
            report.figures.push(Figure {
                network: network.name.clone(),
                scenario: scenario.name.clone(),
                title: scenario.title.clone(),
                focus: scenario.focus,
                via,
                summary: None,
                runs: Vec::new(),
            });
        }
    }
    for repetition in 1..=plan.parameters.repetitions {
        for network in plan.networks.iter().filter(|network| !plan.measurements(network).is_empty()) {
            let mut stack = start(plan, network, repetition)?;
            report.work_server = stack.version.clone();
            report.distance = stack.means(plan.proxy_because.as_deref());
            report.congestion = stack.distance.congestion();
            if let Some(round_trip) = stack.round_trip {
                round_trips.entry(&network.name).or_default().push(round_trip.as_secs_f64() * 1e3);
            }
            for (scenario, via) in plan.measurements_of(network, repetition) {
                let mut runs = Vec::new();
                for _ in 0..=VOID_RETRIES {
                    progress.measures(&network.name, &scenario.name, via.name(), repetition);
                    queues += 1;
                    let queue = queue_name(plan, scenario, queues);
                    stack.wait_until_idle();
                    let begin = Instant::now();
                    let mut run = match measure(plan, &mut stack, scenario, via, &queue) {
                        Ok(run) => run,
                        Err(error) => {
                            // What is left in that stack would disturb the others.
                            stack = start(plan, network, repetition)?;
                            // In a server that is not ours it would stay.
                            stack.attend(&Attend::Remove { queue: queue.clone() })?;
                            Run { failures: vec![format!("{error:#}")], ..Run::default() }
                        }
                    };
                    run.repetition = repetition;
                    run.took_seconds = begin.elapsed().as_secs_f64();
                    let is_void = !run.void.is_empty();
                    runs.push(run);
                    if !is_void {
                        break;
                    }
                }
                let mut figures = report.figures.iter_mut();
                if let Some(figure) =
                    figures.find(|figure| figure.network == network.name && figure.scenario == scenario.name && figure.via == via)
                {
                    figure.runs.extend(runs);
                    figure.summarise();
                }
                progress.one_done();
            }
        }
    }
    report.networks = plan
        .networks
        .iter()
        .map(|network| {
            let found = round_trips.remove(network.name.as_str()).unwrap_or_default();
            let round_trip_ms = Spread::of(found).map_or(network.round_trip().as_secs_f64() * 1e3, |spread| spread.median);
            MeasuredNetwork { network: network.clone(), round_trip_ms }
        })
        .collect();
    report.took_seconds = began.elapsed().as_secs_f64();
    Ok(())
}

/// On our own servers jobs are only enqueued into the queue that needs no name on the wire, as most users do; what is run, and what is
/// done on servers that others use too, has a queue of its own.
fn queue_name(plan: &Plan, scenario: &Scenario, number: usize) -> String {
    match (&plan.kind, scenario.kind) {
        (ServerKind::Broker | ServerKind::Faktory(_), Kind::Enqueue { .. } | Kind::AfterReady { .. }) => "default".into(),
        _ => format!("benchmark-{}-{number}", std::process::id()),
    }
}

/// Jobs a second of one scenario of the plan, measured once, for a gate's settings.
pub(crate) fn rate(plan: &Plan, network: &str, scenario: &str, via: Via, lasts: Duration) -> anyhow::Result<f64> {
    let found = (plan.networks.iter().find(|one| one.name == network), plan.scenarios.iter().find(|one| one.name == scenario));
    let (Some(network), Some(scenario)) = found else { bail!("the plan has no {scenario} on {network}") };
    let Kind::Enqueue { batch, pace } = scenario.kind else { bail!("{} has no rate", scenario.name) };
    let parameters = Parameters { duration: lasts, ..plan.parameters.clone() };
    let mut stack = start(plan, network, 0)?;
    let run = enqueue(&parameters, &mut stack, via, "default", batch, pace)?;
    anyhow::ensure!(run.failures.is_empty(), "{}: {}", scenario.name, run.failures.join("; "));
    Ok(run.jobs_per_second)
}

fn start(plan: &Plan, network: &Network, repetition: usize) -> anyhow::Result<Stack> {
    let seed = repetition as u64;
    let connections = network.connections.unwrap_or(plan.parameters.connections);
    let near = network.near_congestion.clone().or_else(|| plan.congestion.near.clone());
    let congestion = Congestion { near, far: plan.congestion.far.clone() };
    Stack::start(&plan.kind, network, &congestion, connections, seed, plan.proxy_because.as_deref())
}

fn measure(plan: &Plan, stack: &mut Stack, scenario: &Scenario, via: Via, queue: &str) -> anyhow::Result<Run> {
    let parameters = &plan.parameters;
    match scenario.kind {
        Kind::Enqueue { batch, pace } => enqueue(parameters, stack, via, queue, batch, pace),
        Kind::AfterReady { batch, requests, times } => after_ready(parameters, stack, queue, batch, requests, times),
        Kind::Work { concurrency, mix } => work(parameters, stack, via, queue, concurrency, mix),
        Kind::EndToEnd { per_second, concurrency } => end_to_end(parameters, stack, via, queue, per_second, concurrency),
    }
}

/// What was used between the beginning and the end of what counts.
struct Watch {
    processes: Vec<(&'static str, u32)>,
    before: Usage,
}

impl Watch {
    /// The API counts only where the jobs go through it; otherwise it is idle beside them.
    fn begin(stack: &Stack, via: Via, more: &[(&'static str, u32)]) -> Self {
        let mut processes = stack.processes();
        processes.retain(|(name, _)| *name != "api" || via == Via::Http);
        processes.extend(more);
        let before = Usage::now(&processes);
        Self { processes, before }
    }

    fn end(&self) -> Usage {
        Usage::now(&self.processes)
    }

    /// By how much a process's memory at its largest was more than at the beginning, in bytes.
    fn grew(&self, after: &Usage, process: &str) -> Option<f64> {
        let (before, peak) = (*self.before.resident.get(process)?, *after.peak.get(process)?);
        Some(peak.saturating_sub(before) as f64)
    }

    /// Fills in what a run used.
    fn note(&self, after: &Usage, run: &mut Run) {
        for (name, ns) in &after.processor_ns {
            let used = ns.saturating_sub(self.before.processor_ns.get(name).copied().unwrap_or(0));
            run.processor_us_per_job.insert((*name).into(), used as f64 / 1e3 / run.jobs.max(1) as f64);
        }
        run.resident_bytes = after.resident.iter().map(|(name, bytes)| ((*name).into(), *bytes)).collect();
        run.stolen_share = after.stolen_share(&self.before);
    }
}

/// Fills in whether the emulator was sound.
fn note_link(stack: &Stack, run: &mut Run) {
    run.link = stack.distance.watched();
    if let Some(watched) = &run.link
        && let Verdict::Void(reasons) = &watched.verdict
    {
        run.void = reasons.clone();
    }
}

fn load_order(parameters: &Parameters, stack: &Stack, via: Via, queue: &str, shape: Shape, batch: usize, pace: Pace) -> LoadOrder {
    let until = |count: Option<u64>| match count {
        Some(count) => Until::Jobs { count, at_most: parameters.at_most },
        None => Until::Time(parameters.duration),
    };
    let (clients, pattern) = match pace {
        Pace::Clients(clients) => (clients, Pattern::Closed { clients, until: until(None) }),
        Pace::Jobs { clients, count } => (clients, Pattern::Closed { clients, until: until(Some(count)) }),
        Pace::Stream { count } => (1, Pattern::Closed { clients: 1, until: Until::Streamed { count } }),
        Pace::PerSecond(per_second) => (stack.connections, Pattern::Open { per_second, lasts: parameters.duration }),
    };
    LoadOrder {
        via,
        api: stack.api.clone(),
        server: Some(stack.server.clone()),
        // A baseline client more than there are callers would idle; our link may use all.
        connections: if via.is_baseline() { clients.min(stack.connections) } else { stack.connections },
        queue: queue.into(),
        shape,
        batch,
        pattern,
        warm_up: parameters.warm_up,
    }
}

/// Starts a load and waits for its end. What counts is between the two usages.
fn load(stack: &Stack, order: LoadOrder, more: &[(&'static str, u32)]) -> anyhow::Result<(LoadReport, Watch, Usage, u64)> {
    let (via, order_warm_up) = (order.via, order.warm_up);
    let lasts = match order.pattern {
        Pattern::Closed { until: Until::Time(lasts), .. } | Pattern::Open { lasts, .. } => lasts,
        Pattern::Closed { until: Until::Jobs { at_most, .. }, .. } => at_most,
        Pattern::Closed { until: Until::Streamed { .. }, .. } => STREAM_WITHIN,
    };
    let load = Part::start(&stack.distance, Side::Near, &Order::Load(order))?;
    ready(&load)?;
    let mut processes = vec![("client", load.id())];
    processes.extend(more);
    match load.next(order_warm_up + READY_WITHIN)? {
        Event::Measuring => {}
        other => return load.unexpected(&other),
    }
    let began = now_us();
    let watch = Watch::begin(stack, via, &processes);
    match load.next(lasts + PATIENCE)? {
        Event::Measured => {}
        other => return load.unexpected(&other),
    }
    let after = watch.end();
    // In an open loop, what the way could not keep up with is still to be answered.
    match load.next(lasts * BACKLOG + PATIENCE)? {
        Event::Loaded(report) => Ok((*report, watch, after, began)),
        other => load.unexpected(&other),
    }
}

fn enqueue(parameters: &Parameters, stack: &mut Stack, via: Via, queue: &str, batch: usize, pace: Pace) -> anyhow::Result<Run> {
    stack.distance.watch();
    let order = load_order(parameters, stack, via, queue, Shape::Add, batch, pace);
    let (loaded, watch, after, _) = load(stack, order, &[])?;
    let mut run = loaded_run(&loaded);
    note_link(stack, &mut run);
    watch.note(&after, &mut run);
    if matches!(pace, Pace::Stream { .. }) {
        run.grew_bytes = watch.grew(&after, "api");
    }
    let size = stack.queue_size(queue)?;
    run.counts.arrived = size;
    if size <= LOOK_AT_EACH {
        match stack.attend(&Attend::Drain { queue: queue.into() })? {
            Attended::Drained { jobs, distinct } => {
                run.counts.arrived = jobs;
                run.counts.distinct = Some(distinct);
            }
            other => bail!("the attendant answered {other:?}"),
        }
    }
    stack.attend(&Attend::Remove { queue: queue.into() })?;
    check_arrivals(&mut run);
    Ok(run)
}

/// Each time a fresh API, and batches from the moment it is ready on. The latency is that of each batch.
fn after_ready(parameters: &Parameters, stack: &mut Stack, queue: &str, batch: usize, requests: u64, times: usize) -> anyhow::Result<Run> {
    stack.distance.watch();
    let mut all = LoadReport::default();
    let mut latencies = Latencies::new();
    let mut ready_us = Vec::new();
    for _ in 0..times {
        ready_us.push(stack.restart_api()?.as_micros() as f64);
        let pace = Pace::Jobs { clients: 1, count: requests * batch as u64 };
        let order = LoadOrder { warm_up: Duration::ZERO, ..load_order(parameters, stack, Via::Http, queue, Shape::Add, batch, pace) };
        let (loaded, ..) = load(stack, order, &[])?;
        for us in &loaded.each_us {
            latencies.record(*us);
        }
        all.jobs += loaded.jobs;
        all.seconds += loaded.seconds;
        all.stored += loaded.stored;
        all.unknown += loaded.unknown;
        all.not_stored += loaded.not_stored;
        all.errors.extend(loaded.errors);
        all.cut_short |= loaded.cut_short;
    }
    all.latency = latencies.summary();
    let mut run = loaded_run(&all);
    run.ready_us = Spread::of(ready_us).map(|spread| spread.median);
    note_link(stack, &mut run);
    run.counts.arrived = stack.queue_size(queue)?;
    stack.attend(&Attend::Remove { queue: queue.into() })?;
    check_arrivals(&mut run);
    Ok(run)
}

fn loaded_run(loaded: &LoadReport) -> Run {
    let mut run = Run {
        jobs: loaded.jobs,
        seconds: loaded.seconds,
        jobs_per_second: per_second(loaded.jobs, loaded.seconds),
        latency: loaded.latency.clone(),
        cut_short: loaded.cut_short,
        generator_late_p99_us: loaded.generator_late_p99_us,
        counts: Counts { stored: loaded.stored, unknown: loaded.unknown, not_stored: loaded.not_stored, ..Counts::default() },
        ..Run::default()
    };
    if loaded.unknown + loaded.not_stored > 0 {
        let (unknown, not_stored) = (loaded.unknown, loaded.not_stored);
        run.failures.push(format!("{not_stored} jobs were not stored, of {unknown} nobody knows: {}", loaded.errors.join("; ")));
    }
    if loaded.jobs == 0 {
        run.failures.push("nothing was answered within what is measured".into());
    }
    run
}

fn per_second(jobs: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { jobs as f64 / seconds } else { 0.0 }
}

/// Jobs that were answered as stored must be there, each once.
fn check_arrivals(run: &mut Run) {
    let counts = run.counts;
    let different = counts.distinct.unwrap_or(counts.arrived);
    if different < counts.stored {
        run.failures.push(format!("{} jobs were lost", counts.stored - different));
    }
    if counts.arrived > counts.stored + counts.unknown {
        run.failures.push(format!("{} jobs arrived that were not answered as stored", counts.arrived - counts.stored - counts.unknown));
    }
    if counts.arrived > different {
        run.failures.push(format!("{} jobs were doubled", counts.arrived - different));
    }
}

/// Starts a worker and waits until it works with all its connections.
fn start_worker(stack: &Stack, via: Via, queue: &str, concurrency: usize) -> anyhow::Result<Part> {
    let via = if via.is_baseline() { Via::Crate } else { Via::Worker };
    let (server, connections) = (stack.server.clone(), stack.connections);
    let order = Order::Worker(WorkerOrder { via, server, connections, queue: queue.into(), concurrency });
    let worker = Part::start(&stack.distance, Side::Near, &order)?;
    ready(&worker)?;
    // The last connection's own handshakes.
    std::thread::sleep(stack.round_trip.unwrap_or_default() * 3);
    Ok(worker)
}

fn ask(worker: &mut Part, from_us: u64, to_us: u64) -> anyhow::Result<WorkerReport> {
    worker.tell(&WorkerQuestion { from_us, to_us })?;
    match worker.next(PATIENCE)? {
        Event::Ran(report) => Ok(*report),
        other => worker.unexpected(&other),
    }
}

/// So many jobs that the queue does not run dry, and no more.
fn jobs_to_fill(parameters: &Parameters, stack: &Stack, via: Via, concurrency: usize, mix: Mix) -> u64 {
    let takes = parameters.takes(mix);
    let mean = takes.iter().sum::<Duration>().as_secs_f64() / takes.len().max(1) as f64;
    // The crate waits for two round trips a job at the least.
    let round_trips = if via.is_baseline() { 2.0 * stack.round_trip.unwrap_or_default().as_secs_f64() } else { 0.0 };
    let rate = (concurrency as f64 / (mean + round_trips).max(1e-6)).min(WORK_RATE_MAX);
    // And makes its connections one after the other, while it runs jobs already.
    let connecting = 2.0 * round_trips * concurrency as f64;
    let seconds = (parameters.warm_up + parameters.duration).as_secs_f64() + 1.0 + connecting;
    (rate * seconds * 1.2) as u64 + 4 * concurrency as u64
}

fn work(parameters: &Parameters, stack: &mut Stack, via: Via, queue: &str, concurrency: usize, mix: Mix) -> anyhow::Result<Run> {
    let count = jobs_to_fill(parameters, stack, via, concurrency, mix);
    stack.attend(&Attend::Fill { queue: queue.into(), count, takes: parameters.takes(mix) })?;
    stack.distance.watch();
    let mut worker = start_worker(stack, via, queue, concurrency)?;
    std::thread::sleep(parameters.warm_up);
    let watch = Watch::begin(stack, via, &[("worker", worker.id())]);
    let from = now_us();
    std::thread::sleep(parameters.duration);
    let to = now_us();
    let after = watch.end();
    let mut run = Run::default();
    note_link(stack, &mut run);
    let counted = ask(&mut worker, from, to)?;
    let ran = settle(stack, &mut worker, queue, count)?;
    run.seconds = (to - from) as f64 / 1e6;
    run.jobs = counted.counted;
    run.jobs_per_second = per_second(run.jobs, run.seconds);
    // What was running at the end of the window has ended by now, and its part within it counts.
    let whole = ask(&mut worker, from, to)?;
    run.handler_share = Some(whole.handler_seconds / (run.seconds * concurrency as f64));
    watch.note(&after, &mut run);
    let size = stack.queue_size(queue)?;
    note_runs(stack, &mut run, &ran, count, size)?;
    if size == 0 && ran.last_end_us < to {
        run.failures.push("the queue ran dry while it was measured".into());
    }
    stack.end_worker(worker);
    stack.attend(&Attend::Remove { queue: queue.into() })?;
    Ok(run)
}

/// Stops the flow of jobs and waits until what was on its way has been run.
fn settle(stack: &mut Stack, worker: &mut Part, queue: &str, count: u64) -> anyhow::Result<WorkerReport> {
    stack.attend(&Attend::Pause { queue: queue.into() })?;
    let give_up = Instant::now() + SETTLES_WITHIN;
    loop {
        let ran = ask(worker, 0, 0)?;
        if ran.distinct + stack.queue_size(queue)? >= count || Instant::now() > give_up {
            return Ok(ran);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every job that was stored must have been run, once, and acknowledged; or be among those left in the queue.
fn note_runs(stack: &mut Stack, run: &mut Run, ran: &WorkerReport, stored: u64, left: u64) -> anyhow::Result<()> {
    run.counts = Counts { stored, arrived: ran.runs + left, distinct: Some(ran.distinct + left), ..run.counts };
    if ran.distinct + left < stored {
        run.failures.push(format!("{} jobs were lost", stored - ran.distinct - left));
    }
    if ran.distinct + left > stored + run.counts.unknown {
        run.failures.push(format!("{} jobs more than were stored", ran.distinct + left - stored - run.counts.unknown));
    }
    let unacknowledged = stack.unacknowledged()?;
    if unacknowledged > 0 {
        run.failures.push(format!("{unacknowledged} jobs were fetched and not acknowledged"));
    }
    if ran.runs > ran.distinct {
        run.failures.push(format!("{} jobs were run twice", ran.runs - ran.distinct));
    }
    if run.jobs == 0 {
        run.failures.push("no job was run within what is measured".into());
    }
    Ok(())
}

fn end_to_end(parameters: &Parameters, stack: &mut Stack, via: Via, queue: &str, rate: f64, concurrency: usize) -> anyhow::Result<Run> {
    stack.distance.watch();
    let mut worker = start_worker(stack, via, queue, concurrency)?;
    let shape = Shape::Timed { takes: Duration::ZERO };
    let order = load_order(parameters, stack, via, queue, shape, 1, Pace::PerSecond(rate));
    let (loaded, watch, after, began) = load(stack, order, &[("worker", worker.id())])?;
    let give_up = Instant::now() + SETTLES_WITHIN;
    let ran = loop {
        let ran = ask(&mut worker, began, u64::MAX)?;
        if ran.distinct >= loaded.stored || Instant::now() > give_up {
            break ran;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut run = loaded_run(&loaded);
    note_link(stack, &mut run);
    run.jobs = ran.counted;
    run.jobs_per_second = per_second(run.jobs, loaded.seconds);
    // Of the job, not of its post.
    run.latency = if ran.latency.count > 0 { ran.latency.clone() } else { Latency::default() };
    watch.note(&after, &mut run);
    let counts = run.counts;
    let left = stack.queue_size(queue)?;
    note_runs(stack, &mut run, &ran, counts.stored, left)?;
    stack.end_worker(worker);
    stack.attend(&Attend::Remove { queue: queue.into() })?;
    Ok(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(stored: u64, unknown: u64, arrived: u64, distinct: Option<u64>) -> Vec<String> {
        let mut run = Run { counts: Counts { stored, unknown, not_stored: 0, arrived, distinct }, ..Run::default() };
        check_arrivals(&mut run);
        run.failures
    }

    #[test]
    fn a_lost_or_doubled_job_fails_the_run() {
        assert!(failures(10, 0, 10, Some(10)).is_empty());
        assert!(failures(10, 2, 11, Some(11)).is_empty(), "one of the unknown arrived");
        assert!(failures(10, 0, 10, None).is_empty());
        assert_eq!(failures(10, 0, 9, Some(9)), ["1 jobs were lost"]);
        assert_eq!(failures(10, 0, 9, None), ["1 jobs were lost"]);
        assert_eq!(failures(10, 0, 10, Some(9)), ["1 jobs were lost", "1 jobs were doubled"], "one hides the other");
        assert_eq!(failures(10, 0, 11, Some(10)), ["1 jobs arrived that were not answered as stored", "1 jobs were doubled"]);
    }
}
