//! The first screen: where everything is, and a line to try. To standard output; logs go to standard error.

use std::fmt::Write as _;
use std::io::Write as _;

use service_runtime::Settings;

use crate::parts::Running;

pub(crate) fn show(running: &Running, settings: &Settings) {
    let text = describe(running, settings).unwrap_or_default();
    // Nobody has to read it: a closed pipe is no reason to end.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn describe(running: &Running, settings: &Settings) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(out, "Work Factory {}\n", env!("CARGO_PKG_VERSION"))?;
    if let Some(api) = &running.api {
        writeln!(out, "  API      http://{}", api.address())?;
    }
    match &running.broker {
        Some(broker) => {
            writeln!(out, "  broker   tcp://{} (embedded)", broker.address())?;
            writeln!(out, "  data     {}", broker.data_dir().display())?;
        }
        None => writeln!(out, "  Faktory  {}", running.work_server)?,
    }
    if let (Some(broker), None) = (&running.broker, &running.api) {
        let password = if settings.broker.password.is_some() { ":PASSWORD@" } else { "" };
        writeln!(out, "\nAPI and workers use it with FAKTORY_URL=tcp://{password}{}", broker.address())?;
    }
    if running.worker.is_some() {
        let worker = &settings.worker;
        writeln!(out, "  worker   {} jobs at once from: {}", worker.concurrency, worker.queues)?;
    }
    if let Some(api) = &running.api {
        let job = "{\"a\":1,\"b\":2}";
        writeln!(out, "\nTry it:\n  curl -H 'content-type: application/json' -d '{job}' http://{}/jobs/add", api.address())?;
    }
    writeln!(out, "\nCtrl-C ends it.")?;
    Ok(out)
}
