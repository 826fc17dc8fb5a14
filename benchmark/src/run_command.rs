//! The commands: measure, judge a gate, compare, page, readme, list.

mod planning;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::arguments::RunArguments;
use crate::gate::{self, Gate};
use crate::network;
use crate::progress::Progress;
use crate::report::machine::Machine;
use crate::report::{Report, compare as comparison, page as pages, readme as readmes, table};
use crate::runner::{self, Plan};
use crate::scenario::{self, Parameters};
use crate::terminal::{print, say};
use planning::plan;

/// Measures and reports.
pub(crate) fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    with_rights(|| {
        let plan = plan(arguments)?;
        measure(&plan, arguments, None)
    })
}

/// Measures the figures of a gate.
pub(crate) fn gate(name: &str, arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let gate = gate::named(name)?;
    with_rights(|| {
        // A gate has networks and scenarios of its own.
        let mut plan =
            plan(&RunArguments { network: Vec::new(), scenario: Vec::new(), ..arguments.clone() })?;
        (gate.prepare)(&mut plan)?;
        // A chosen part of the gate is measured alone; its other figures are then missed.
        let is_chosen = |names: &[String], name: &str| {
            names.is_empty() || names.iter().any(|chosen| chosen == name)
        };
        plan.networks.retain(|network| is_chosen(&arguments.network, &network.name));
        plan.scenarios.retain(|scenario| is_chosen(&arguments.scenario, &scenario.name));
        measure(&plan, arguments, Some(gate))
    })
}

/// Calls a function with the right to make namespaces, where the system grants this right to users.
/// The process must have no other thread.
pub(crate) fn with_rights<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    // Without this right, a function that needs namespaces fails or uses a proxy.
    let _ = link_emulator::enter_user_namespace();
    work()
}

/// Measures a plan.
type Measure = fn(&Plan, &mut Report, &Progress) -> anyhow::Result<()>;

fn measure(plan: &Plan, arguments: &RunArguments, gate: Option<&Gate>) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&arguments.output)
        .with_context(|| format!("--output: {} can't be made", arguments.output.display()))?;
    anyhow::ensure!(
        plan.len() > 0,
        "nothing is to be measured: no chosen scenario goes by the chosen ways"
    );
    let mut report = Report::begin(Machine::this(), plan.parameters.clone(), words());
    warn_of(plan, &mut report);
    for warning in &report.warnings {
        say(&format!("WARNING: {warning}"));
    }
    if !arguments.quiet {
        let minutes = plan.estimate().as_secs().div_ceil(60);
        say(&format!(
            "{} measurements, about {minutes} min. The machine should do nothing else.",
            plan.len()
        ));
    }
    let progress = Progress::new(plan.len(), arguments.quiet);
    let measure = gate.map_or(runner::run as Measure, |gate| gate.measure);
    let result = measure(plan, &mut report, &progress);
    progress.finish();
    if let Err(error) = &result {
        report.warnings.push(format!("the run ended early: {error:#}"));
    }
    print(&table::render(&report));
    let (json, html) = (arguments.output.join("report.json"), arguments.output.join("report.html"));
    write(&json, &report.to_json()?)?;
    // From the written report, so that the page can be made again from the file, byte for byte.
    write(&html, &pages::render(&Report::read(&json)?)?)?;
    let shown = html.canonicalize().unwrap_or(html);
    print(&format!("The report: file://{}\nIts data:   {}", shown.display(), json.display()));
    let mut failures = report.failures();
    failures.extend(result.err().map(|error| format!("the run ended early: {error:#}")));
    for failure in &failures {
        say(&format!("FAILED: {failure}"));
    }
    let is_good = gate.is_none_or(|gate| is_met(gate, &report)) && failures.is_empty();
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the gate's table, and returns whether the report meets the gate.
fn is_met(gate: &Gate, report: &Report) -> bool {
    let (checks, is_met) = gate::render(&(gate.checks)(report));
    let table = gate.table.map(|table| table(report)).unwrap_or_default();
    print(&format!("\nGate {}: {}\n{table}{checks}", gate.name, gate.title));
    if !report.warnings.is_empty() {
        say("FAILED: a gate counts only without warnings");
    }
    is_met && report.warnings.is_empty()
}

/// Judges an earlier report of a gate.
pub(crate) fn judge(name: &str, report: &Path) -> anyhow::Result<ExitCode> {
    let gate = gate::named(name)?;
    let report = Report::read(report)?;
    let failures = report.failures();
    failures.iter().for_each(|failure| say(&format!("FAILED: {failure}")));
    let is_good = is_met(gate, &report) && failures.is_empty();
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The arguments of this program, without the password that a URL may hold.
fn words() -> Vec<String> {
    let hide = |word: String| match word
        .split_once("://")
        .and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1)))
    {
        Some((scheme, host)) => format!("{scheme}://:…@{host}"),
        None => word,
    };
    std::env::args().skip(1).map(hide).collect()
}

fn warn_of(plan: &Plan, report: &mut Report) {
    if !report.machine.is_release() {
        report
            .warnings
            .push("this is a debug build: the figures mean nothing. Run with --release".into());
    }
    if let Some(because) = &plan.proxy_because {
        report.warnings.push(format!(
            "distance is made by a TCP proxy that delays bytes, which hides handshakes, slow \
             start and loss, because there are no namespaces: {because}"
        ));
    }
    if plan.parameters.scale < 1.0 {
        report
            .warnings
            .push("everything is scaled down: this shows that it works, not how fast it is".into());
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

/// Shows what changed.
pub(crate) fn compare(before: &Path, after: &Path) -> anyhow::Result<ExitCode> {
    print(&comparison::render(&Report::read(before)?, &Report::read(after)?));
    Ok(ExitCode::SUCCESS)
}

/// Makes the page of a report.
pub(crate) fn page(report: &Path, output: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let output = output.unwrap_or_else(|| report.with_extension("html"));
    write(&output, &pages::render(&Report::read(report)?)?)?;
    print(&format!("{}", output.display()));
    Ok(ExitCode::SUCCESS)
}

/// Writes the README's table.
pub(crate) fn readme(report: &Path, readme: &Path) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(readme)
        .with_context(|| format!("failed to read {}", readme.display()))?;
    let source = report.display().to_string();
    let report = Report::read(report)?;
    let faults: Vec<String> = report.warnings.iter().cloned().chain(report.failures()).collect();
    anyhow::ensure!(faults.is_empty(), "the report is none to show: {}", faults.join("; "));
    write(readme, &readmes::replace(&text, &report, &source)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Lists networks, scenarios and gates.
pub(crate) fn list() -> anyhow::Result<ExitCode> {
    print("networks");
    network::all()
        .iter()
        .for_each(|network| print(&format!("  {:<18} {}", network.name, network.title)));
    print("scenarios");
    scenario::all(&Parameters::default())
        .iter()
        .for_each(|scenario| print(&format!("  {:<18} {}", scenario.name, scenario.title)));
    print("gates");
    gate::ALL.iter().for_each(|gate| print(&format!("  {:<18} {}", gate.name, gate.title)));
    Ok(ExitCode::SUCCESS)
}
