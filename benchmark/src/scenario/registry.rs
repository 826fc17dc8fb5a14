//! The registry of scenarios, and their choice by name.

use std::time::Duration;

use super::kind::{Focus, Kind, Mix, Pace, Scenario};
use super::parameters::Parameters;

/// All scenarios.
pub(crate) fn all(parameters: &Parameters) -> Vec<Scenario> {
    let mut scenarios = enqueue(parameters);
    scenarios.extend(headlines(parameters));
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

/// Scenarios that post with clients or at intended times, for the measured time.
fn enqueue(parameters: &Parameters) -> Vec<Scenario> {
    let (clients, sustained) = (parameters.clients, parameters.sustained_clients);
    let mut scenarios = vec![
        posting(
            "single",
            "one client posts one job at a time".into(),
            (1, Pace::Clients(1)),
            Focus::Latency,
        ),
        posting(
            "concurrent",
            format!("{clients} clients post one job at a time each"),
            (1, Pace::Clients(clients)),
            Focus::Throughput,
        ),
    ];
    scenarios.extend([10, 100, 1000].map(|batch| {
        posting(
            &format!("batch-{batch}"),
            format!("one client posts batches of {batch}, one after the other"),
            (batch, Pace::Clients(1)),
            Focus::Throughput,
        )
    }));
    scenarios.extend([
        posting(
            "sustained",
            format!("{sustained} clients post batches of 100: as much as goes through"),
            (100, Pace::Clients(sustained)),
            Focus::Throughput,
        ),
        posting(
            "open-loop",
            format!("{} single posts a second, at intended times", parameters.rate),
            (1, Pace::PerSecond(parameters.rate)),
            Focus::Latency,
        ),
    ]);
    scenarios
}

/// Scenarios that post a number of jobs.
fn headlines(parameters: &Parameters) -> [Scenario; 2] {
    let clients = parameters.clients;
    let (singles, batches) = (parameters.scaled_count(5000), parameters.scaled_count(10));
    [
        posting(
            "headline-singles",
            format!("{singles} single posts by {clients} concurrent clients"),
            (1, Pace::Jobs { clients, count: singles }),
            Focus::Duration,
        ),
        posting(
            "headline-batches",
            format!("{} jobs as {batches} batches of 100, one after the other", batches * 100),
            (100, Pace::Jobs { clients: 1, count: batches * 100 }),
            Focus::Duration,
        ),
    ]
}

fn posting(name: &str, title: String, (batch, pace): (usize, Pace), focus: Focus) -> Scenario {
    Scenario { name: name.into(), title, kind: Kind::Enqueue { batch, pace }, focus }
}

/// The scenarios with these names; a name that ends with `*` chooses all scenarios that begin with
/// the text before it.
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
}
