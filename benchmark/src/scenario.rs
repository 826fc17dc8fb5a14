//! The registry of scenarios: what is measured.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::part::order::Via;

/// One scenario.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scenario {
    /// Its name on the command line and in reports.
    pub(crate) name: String,
    /// What is done, in one line.
    pub(crate) title: String,
    pub(crate) kind: Kind,
    /// What is compared first: throughput, or latency.
    pub(crate) focus: Focus,
}

/// What a scenario's main figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Focus {
    /// Jobs a second.
    Throughput,
    /// How long each request or job takes.
    Latency,
    /// How long the whole takes.
    Duration,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Jobs are posted; nobody runs them.
    Enqueue { batch: usize, pace: Pace },
    /// An API is started anew, and posted to as soon as it is ready: so many batches, one after the
    /// other; and that so many times.
    AfterReady { batch: usize, requests: u64, times: usize },
    /// So many requests a second, more than the work server takes.
    Overload { batch: usize, per_second: f64 },
    /// The work server goes, and so many clients go on posting.
    Outage { clients: usize },
    /// Jobs lie in the queue and are run.
    Work { concurrency: usize, mix: Mix },
    /// Jobs come one at a time to a worker that has nothing to do.
    Idle { concurrency: usize, jobs: u64 },
    /// Several workers share jobs that are posted at once.
    Sharing { workers: usize, concurrency: usize, jobs: u64, takes: Duration },
    /// So many times a worker is told to end: under full load, or a second after its queue has run
    /// dry.
    Ending { concurrency: usize, times: usize, dry: bool },
    /// Workers come and go while jobs come.
    Chaos { workers: usize, concurrency: usize, lasts: Duration },
    /// The link is cut for a while under a worker.
    Cut { concurrency: usize, takes: Duration, lasts: Duration },
    /// Jobs are posted at a rate and run.
    EndToEnd { per_second: f64, concurrency: usize },
    /// So many clients post one job at a time, whatever becomes of it; the link is cut meanwhile
    /// for a while, or not at all.
    Posting { clients: usize, cut: Duration },
    /// One job, silence, another; so many times.
    Silence { lasts: Duration, times: u32 },
    /// Jobs with args of 10 KB are posted.
    Payloads { clients: usize, batch: usize },
    /// So many jobs are posted, into so many queues.
    Queues { jobs: u64, queues: u64 },
    /// Jobs of 10 ms are run, of which every twentieth never ends.
    Hanging { concurrency: usize },
    /// Jobs are run that use the processor for so long.
    Busy { concurrency: usize, takes: Duration },
}

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// So many clients, each with one request at a time, for a while.
    Clients(usize),
    /// So many clients until so many jobs are posted.
    Jobs { clients: usize, count: u64 },
    /// So many jobs in one request.
    Stream { count: u64 },
    /// At intended times, whatever becomes of earlier requests.
    PerSecond(f64),
}

/// How long jobs take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mix {
    /// All the same.
    All(Duration),
    /// 10 ms, and every twentieth 1 s.
    SomeLong,
}

/// What can be chosen for all scenarios.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parameters {
    /// Before what counts.
    #[serde(rename = "warm_up_seconds", with = "seconds")]
    pub(crate) warm_up: Duration,
    /// What counts, where a scenario goes by time.
    #[serde(rename = "duration_seconds", with = "seconds")]
    pub(crate) duration: Duration,
    /// The longest for a scenario that goes by a number of jobs.
    #[serde(rename = "at_most_seconds", with = "seconds")]
    pub(crate) at_most: Duration,
    /// How often all is measured, in turn.
    pub(crate) repetitions: usize,
    /// Clients of the concurrent scenarios.
    pub(crate) clients: usize,
    /// Clients of the sustained scenario.
    pub(crate) sustained_clients: usize,
    /// Requests a second of the open loop.
    pub(crate) rate: f64,
    /// Jobs a second posted in the end-to-end scenario.
    pub(crate) end_to_end_rate: f64,
    /// Connections to the work server: of the API, of the link, of the baseline's clients, and of
    /// the worker.
    pub(crate) connections: usize,
    /// Job times and headline counts are multiplied by it: below 1 where only the paths matter.
    pub(crate) scale: f64,
}

/// Durations in documents: seconds, with fractions.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        time: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(time.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            warm_up: Duration::from_millis(500),
            duration: Duration::from_secs(2),
            at_most: Duration::from_secs(10),
            repetitions: 3,
            clients: 100,
            sustained_clients: 64,
            rate: 500.0,
            end_to_end_rate: 20.0,
            connections: 15,
            scale: 1.0,
        }
    }
}

impl Parameters {
    fn scaled(&self, time: Duration) -> Duration {
        time.mul_f64(self.scale)
    }

    fn scaled_count(&self, count: u64) -> u64 {
        ((count as f64 * self.scale) as u64).max(1)
    }

    /// How long each job of a mix takes, in turn.
    pub(crate) fn takes(&self, mix: Mix) -> Vec<Duration> {
        match mix {
            Mix::All(time) => vec![self.scaled(time)],
            Mix::SomeLong => {
                let mut takes = vec![self.scaled(Duration::from_millis(10)); 20];
                if let Some(last) = takes.last_mut() {
                    *last = self.scaled(Duration::from_secs(1));
                }
                takes
            }
        }
    }
}

impl Scenario {
    /// Ways to go through it, ours first.
    pub(crate) const fn vias(&self) -> &'static [Via] {
        match self.kind {
            Kind::AfterReady { .. }
            | Kind::Overload { .. }
            | Kind::Outage { .. }
            | Kind::Enqueue { pace: Pace::Stream { .. }, .. } => &[Via::Http],
            Kind::Payloads { .. } | Kind::Queues { .. } => &[Via::Http],
            Kind::Enqueue { .. } => &[Via::Http, Via::Link, Via::Crate],
            Kind::Work { .. } => &[Via::Worker, Via::Crate],
            Kind::Idle { .. }
            | Kind::Sharing { .. }
            | Kind::Ending { .. }
            | Kind::Chaos { .. }
            | Kind::Cut { .. }
            | Kind::Hanging { .. }
            | Kind::Busy { .. } => &[Via::Worker],
            Kind::EndToEnd { .. } | Kind::Posting { .. } | Kind::Silence { .. } => {
                &[Via::Http, Via::Crate]
            }
        }
    }
}

/// All scenarios.
pub(crate) fn all(parameters: &Parameters) -> Vec<Scenario> {
    let mut scenarios = enqueue(parameters);
    for (name, title, mix) in [
        ("noop", "jobs that do nothing", Mix::All(Duration::ZERO)),
        ("1ms", "jobs of 1 ms", Mix::All(Duration::from_millis(1))),
        ("10ms", "jobs of 10 ms", Mix::All(Duration::from_millis(10))),
        ("1s", "jobs of 1 s", Mix::All(Duration::from_secs(1))),
        ("mix", "jobs of 10 ms, every twentieth of 1 s", Mix::SomeLong),
    ] {
        for concurrency in [1, 15, 50] {
            scenarios.push(Scenario {
                name: format!("work-{name}-{concurrency}"),
                title: format!("a worker with concurrency {concurrency} runs {title}"),
                kind: Kind::Work { concurrency, mix },
                focus: Focus::Throughput,
            });
        }
    }
    scenarios.push(Scenario {
        name: "end-to-end".into(),
        title: format!(
            "{} jobs a second are posted and run: from post to completion",
            parameters.end_to_end_rate
        ),
        kind: Kind::EndToEnd { per_second: parameters.end_to_end_rate, concurrency: 15 },
        focus: Focus::Latency,
    });
    scenarios
}

fn enqueue(parameters: &Parameters) -> Vec<Scenario> {
    let scenario = |name: &str, title: String, batch: usize, pace: Pace, focus: Focus| Scenario {
        name: name.into(),
        title,
        kind: Kind::Enqueue { batch, pace },
        focus,
    };
    let (clients, sustained) = (parameters.clients, parameters.sustained_clients);
    let (singles, batches) = (parameters.scaled_count(5000), parameters.scaled_count(10));
    let mut scenarios = vec![
        scenario(
            "single",
            "one client posts one job at a time".into(),
            1,
            Pace::Clients(1),
            Focus::Latency,
        ),
        scenario(
            "concurrent",
            format!("{clients} clients post one job at a time each"),
            1,
            Pace::Clients(clients),
            Focus::Throughput,
        ),
    ];
    for batch in [10, 100, 1000] {
        let title = format!("one client posts batches of {batch}, one after the other");
        scenarios.push(scenario(
            &format!("batch-{batch}"),
            title,
            batch,
            Pace::Clients(1),
            Focus::Throughput,
        ));
    }
    let title = format!("{sustained} clients post batches of 100: as much as goes through");
    scenarios.push(scenario("sustained", title, 100, Pace::Clients(sustained), Focus::Throughput));
    let title = format!("{} single posts a second, at intended times", parameters.rate);
    scenarios.push(scenario(
        "open-loop",
        title,
        1,
        Pace::PerSecond(parameters.rate),
        Focus::Latency,
    ));
    let title = format!("{singles} single posts by {clients} concurrent clients");
    scenarios.push(scenario(
        "headline-singles",
        title,
        1,
        Pace::Jobs { clients, count: singles },
        Focus::Duration,
    ));
    let title = format!("{} jobs as {batches} batches of 100, one after the other", batches * 100);
    scenarios.push(scenario(
        "headline-batches",
        title,
        100,
        Pace::Jobs { clients: 1, count: batches * 100 },
        Focus::Duration,
    ));
    scenarios
}

/// The scenarios whose names are given, or begin with what is given before a `*`.
pub(crate) fn named(all: &[Scenario], names: &[String]) -> anyhow::Result<Vec<Scenario>> {
    let mut chosen = Vec::new();
    for name in names {
        let fits = |scenario: &&Scenario| match name.strip_suffix('*') {
            Some(start) => scenario.name.starts_with(start),
            None => scenario.name == *name,
        };
        let before = chosen.len();
        chosen.extend(all.iter().filter(fits).cloned());
        if chosen.len() == before {
            let known =
                all.iter().map(|scenario| scenario.name.as_str()).collect::<Vec<_>>().join(", ");
            anyhow::bail!("--scenario: there is no scenario {name:?}; there are {known}");
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_chosen_by_name_and_by_beginning() {
        let all = all(&Parameters::default());
        assert_eq!(all.len(), 9 + 15 + 1);
        let chosen = named(&all, &["single".into(), "work-noop*".into()]).unwrap();
        let names: Vec<&str> = chosen.iter().map(|scenario| scenario.name.as_str()).collect();
        assert_eq!(names, ["single", "work-noop-1", "work-noop-15", "work-noop-50"]);
        assert!(
            named(&all, &["nonsense".into()]).unwrap_err().to_string().contains("headline-batches")
        );
    }

    #[test]
    fn a_mix_has_one_long_job_in_twenty_and_all_times_scale() {
        let parameters = Parameters { scale: 0.1, ..Parameters::default() };
        let takes = parameters.takes(Mix::SomeLong);
        assert_eq!(
            (takes.len(), takes[0], takes[19]),
            (20, Duration::from_millis(1), Duration::from_millis(100))
        );
    }
}
