//! On what a report was measured, in words.

use crate::distance::Means;
use crate::report::Report;

/// Names and values, in the order in which the page shows them.
pub(super) fn of(report: &Report) -> anyhow::Result<Vec<(&'static str, String)>> {
    let machine = &report.machine;
    let congestion = report.congestion.as_ref().map_or_else(
        || machine.default_congestion_control.clone(),
        |congestion| format!("near {}, far {}", congestion.near, congestion.far),
    );
    Ok(vec![
        ("Began", format!("{}, took {:.0} s", report.began, report.took_seconds)),
        (
            "Machine",
            format!("{}, {} cores, {} MiB", machine.processor, machine.cores, machine.memory_mib),
        ),
        ("Kernel", machine.kernel.clone()),
        ("Congestion control", congestion),
        ("Work server", report.work_server.clone()),
        ("Distance", distance(&report.distance)),
        (
            "Program",
            format!(
                "Work Factory {}, commit {}, {} build",
                machine.version, machine.commit, machine.build
            ),
        ),
        ("Baseline", format!("faktory crate {}", machine.faktory_crate)),
        ("Parameters", parameters(report)?),
        ("Command", report.command.join(" ")),
    ])
}

fn distance(means: &Means) -> String {
    match means {
        Means::Namespaces { realtime } => format!(
            "two network namespaces and a packet relay, {} real-time priority",
            if *realtime { "with" } else { "without" }
        ),
        Means::Proxy { because } => format!("a TCP proxy that delays bytes ({because})"),
        Means::Given => "the network as it is".into(),
    }
}

/// The parameters by their names in the JSON.
fn parameters(report: &Report) -> anyhow::Result<String> {
    let serde_json::Value::Object(members) = serde_json::to_value(&report.parameters)? else {
        return Ok(String::new());
    };
    let each = members.iter().map(|(name, value)| format!("{name} {value}"));
    Ok(each.collect::<Vec<_>>().join(", "))
}
