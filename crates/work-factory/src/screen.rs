//! The first screen: where everything is, and a line to try. To standard output; logs go to standard error.

use service_runtime::Settings;

use crate::parts::Running;

#[expect(clippy::print_stdout, reason = "the first screen is for the person who started the program, not for the log")]
pub(crate) fn show(running: &Running, settings: &Settings) {
    println!("Work Factory {}\n", env!("CARGO_PKG_VERSION"));
    if let Some(api) = &running.api {
        println!("  API      http://{}", api.address());
    }
    match &running.broker {
        Some(broker) => {
            println!("  broker   tcp://{} (embedded)", broker.address());
            println!("  data     {}", settings.broker.data_dir.display());
        }
        None => println!("  Faktory  {}", running.work_server),
    }
    if running.worker.is_some() {
        let worker = &settings.worker;
        println!("  worker   {} jobs at once from: {}", worker.concurrency, worker.queues.join(", "));
    }
    if let Some(api) = &running.api {
        println!("\nTry it:\n  curl --json '{{\"a\":1,\"b\":2}}' http://{}/jobs/add", api.address());
    }
    println!("\nCtrl-C ends it.");
}
