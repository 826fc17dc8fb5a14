//! The first screen: the address of each part, and a command to try where its job is there. The
//! screen goes to standard output; logs go to standard error.

use std::fmt::Write as _;
use std::io::Write as _;

use api_service::Registry;
use service_runtime::{Settings, plain_text};

use crate::parts::Running;

pub(crate) fn show(running: &Running, settings: &Settings, jobs: &Registry) {
    let text = plain_text(&describe(running, settings, jobs).unwrap_or_default(), true);
    // Nobody has to read the screen: a closed pipe is no reason to end.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn describe(
    running: &Running,
    settings: &Settings,
    jobs: &Registry,
) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(out, "Work Factory {}\n", env!("CARGO_PKG_VERSION"))?;
    let scheme = if settings.api.tls.is_some() { "https" } else { "http" };
    if let Some(api) = &running.api {
        writeln!(out, "  API      {scheme}://{}", api.address())?;
    }
    let broker_scheme = if settings.broker.tls.is_some() { "tcp+tls" } else { "tcp" };
    match &running.broker {
        Some(broker) => {
            writeln!(out, "  broker   {broker_scheme}://{} (embedded)", broker.address())?;
            writeln!(out, "  data     {}", broker.data_dir().display())?;
        }
        None => writeln!(out, "  Faktory  {}", running.work_server)?,
    }
    if let (Some(broker), None) = (&running.broker, &running.api) {
        let password = if settings.broker.password.is_some() { ":PASSWORD@" } else { "" };
        writeln!(
            out,
            "\nAPI and workers use it with FAKTORY_URL={broker_scheme}://{password}{}",
            broker.address()
        )?;
    }
    if running.worker.is_some() {
        let worker = &settings.worker;
        writeln!(out, "  worker   {} jobs at once from: {}", worker.concurrency, worker.queues)?;
    }
    if let Some(api) = running.api.as_ref().filter(|_| jobs.find("add").is_some()) {
        let job = "{\"a\":1,\"b\":2}";
        let key =
            if settings.api.keys.is_some() { " -H \"authorization: Bearer $KEY\"" } else { "" };
        let authority = if settings.api.tls.is_some() { " --cacert CA.pem" } else { "" };
        writeln!(
            out,
            "\nTry it:\n  curl{key}{authority} -H 'content-type: application/json' -d '{job}' \
             {scheme}://{}/jobs/add",
            api.address()
        )?;
    }
    writeln!(out, "\nCtrl-C ends it.")?;
    Ok(out)
}
