//! Texts for people that are made from the registries: `docs/configuration.md`, `docs/metrics.md`,
//! and the variables at the end of `--help`.

use std::fmt::Write as _;

use crate::metrics::{METRICS, Metric, MetricKind};
use crate::role::Role;
use crate::settings::{COMPONENTS, Variable};

const CONFIGURATION: &str = "\
<!-- Made by `cargo xtask docs` from crates/service-runtime/src/settings: do not edit. -->

# Configuration

Work Factory is configured by environment variables. Each process reads them once, when it starts.

- A variable that is not set has its default. An empty value is as good as none.
- A value that is not accepted ends the process with exit code 64 before anything else happens. All
  faults are told at once, each with its variable and with what is accepted.
- A variable with one of our prefixes (`FAKTORY_`, `API_`, `COMPRESS_`, `WORKER_`, `BROKER_`) that
  is not known is most likely misspelt: the log warns about the name, and says which one is meant
  where one is similar.
- The log says at the start which value of each variable is in effect, with passwords hidden;
  `--help` lists the variables too.
- A process reads only the files that it needs: a worker does not need the API's keys.

## Durations and sizes

A duration is a number with a unit: `500ms`, `5s`, `1.5s`, `2m`, `1h`, or several: `1m 30s`. A
number alone is seconds: `5`. Durations of variables are above 0 and up to a day, but for
`BROKER_DEDUP_WINDOW`: 0 or whole seconds up to 30 days. The command line of the benchmark takes
durations in the same forms.

A size is a number of bytes, alone or with a unit: `1000000`, `64 KiB`, `16MiB`, `2MB`. The units
are `B`, `KiB`, `MiB`, `GiB` (powers of 1024) and `kB` (or `KB`), `MB`, `GB` (powers of 1000).

## Profiles

A profile is a file of variables for one kind of network, a line `NAME=value` each. The option
`--env-file` loads it, as in `work-factory --env-file .env.wan`. A profile counts less than the
environment: what is set there wins. A `$` in a value of a profile needs single quotes around the
value. There are four: `.env.local` (one machine), `.env.lan` (1 to 10 ms of round trip), `.env.wan`
(around 100 ms) and `.env.wireless` (50 to 200 ms, with losses).

What is too low and what is too high for a variable is said, with measurements, in
[the guide to tuning](tuning.md).
";

const METRICS_PAGE: &str = "\
<!-- Made by `cargo xtask docs` from crates/service-runtime/src/metrics.rs: do not edit. -->

# Metrics

`GET /metrics` of the API answers with the figures of its process, as text for Prometheus. A worker
answers too, at `WORKER_BIND_ADDR`, and it alone has the gauges of `work_factory_worker_…`: with API
and worker in one process these gauges are there only where `WORKER_BIND_ADDR` is set. An API with
keys asks for one with the scope `read`.

A broker that runs alone (`work-factory broker`) has no `/metrics`: the answer to INFO has its
counters, `work_factory_broker_…`, in the object `work_factory` below `server`, since its start.
A metric with a label is an object there: `{\"made_room\": 0, \"too_many\": 2}`.

Nothing that users write becomes a label. What the original analysis called `enqueue_latency_ms` is
`work_factory_enqueue_seconds`, and its `pool_utilization` is `work_factory_pool_utilization`.
";

/// `docs/configuration.md`: how variables are read, and a table for each component.
#[must_use]
pub fn configuration() -> String {
    let mut text = CONFIGURATION.to_owned();
    for component in &COMPONENTS {
        // Writing to a string can't fail.
        let _ = write!(text, "\n## {}\n\n", component.title);
        text.push_str("| variable | default | meaning |\n|---|---|---|\n");
        for Variable { name, default, meaning } in component.variables {
            let default = if default.is_empty() { "none".into() } else { format!("`{default}`") };
            let _ = writeln!(text, "| `{name}` | {default} | {meaning} |");
        }
    }
    text
}

/// The variables that count for a process of this role, for the end of `--help`.
#[must_use]
pub fn variables_help(role: Role) -> String {
    let mut text = String::from("Configured by environment variables:\n");
    for component in COMPONENTS.iter().filter(|component| component.roles.contains(&role)) {
        for Variable { name, default, meaning } in component.variables {
            let default =
                if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
            // Writing to a string can't fail.
            let _ = write!(text, "\n  {name}{default}\n          {meaning}");
        }
    }
    text
}

/// `docs/metrics.md`: where metrics are answered, and the table of them.
#[must_use]
pub fn metrics() -> String {
    let mut text =
        format!("{METRICS_PAGE}\n| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for Metric { name, kind, labels, meaning } in METRICS {
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Seconds | MetricKind::Numbers => "histogram",
        };
        // Writing to a string can't fail.
        let _ = writeln!(text, "| `{name}` | {kind} | {labels} | {meaning} |");
    }
    text
}
