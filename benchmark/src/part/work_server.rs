//! The work server as a process of its own: the embedded broker, or a real Faktory as a child. The
//! folder with its data is removed when the work server ends, but not one that the order names.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use faktory_broker::{Broker, BrokerConfig};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::Channel;
use super::order::{BrokerOrder, Event, FaktoryOrder};

/// The time between two looks whether a Faktory listens.
const LOOK: Duration = Duration::from_millis(20);
/// The longest time until a Faktory listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);
/// The longest time until a Faktory ends: it saves its data first.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

pub(crate) async fn run_broker(order: BrokerOrder, mut channel: Channel) -> anyhow::Result<()> {
    let own = tempfile::tempdir()?;
    let data = order.data.unwrap_or_else(|| own.path().to_owned());
    let mut config = BrokerConfig::new(order.bind, data);
    config.password = order.password;
    let mut broker = Broker::start(config).await?;
    Channel::say(&Event::Ready(Some(broker.address())));
    tokio::select! {
        () = channel.end() => {}
        error = broker.failed() => return Err(error.into()),
    }
    Ok(broker.stop().await?)
}

pub(crate) async fn run_faktory(order: FaktoryOrder, mut channel: Channel) -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let (storage, configuration) = (data.path().join("data"), data.path().join("config"));
    std::fs::create_dir(&storage)?;
    std::fs::create_dir(&configuration)?;
    let program = order.program.display();
    let mut faktory = Command::new(std::env::current_exe()?)
        .args(["exec", "--parent", &std::process::id().to_string(), "--"])
        .arg(&order.program)
        .args(["-e", "development", "-w", ":0", "-b", &order.bind.to_string(), "-d"])
        .arg(&storage)
        .arg("-c")
        .arg(&configuration)
        .env_remove("FAKTORY_PASSWORD")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Keeps interrupts of the terminal away: Faktory would save its data and end while it is
        // measured.
        .process_group(0)
        .spawn()
        .with_context(|| format!("failed to start {program}"))?;
    tokio::select! {
        is_up = tokio::time::timeout(LISTENS_WITHIN, listens(&order)) => {
            is_up.with_context(|| format!("{program} does not listen"))?;
        }
        status = faktory.wait() => {
            let mut words = String::new();
            if let Some(errors) = &mut faktory.stderr {
                let _ = errors.read_to_string(&mut words).await;
            }
            let (code, words) = (status?.code(), words.trim());
            bail!("{program} ended with {code:?} (does it find redis-server?): {words}");
        }
    }
    Channel::say(&Event::Ready(Some(order.bind)));
    tokio::select! {
        () = channel.end() => {}
        status = faktory.wait() => bail!("{program} ended with {:?}", status?.code()),
    }
    terminate(&mut faktory).await;
    Ok(())
}

async fn listens(order: &FaktoryOrder) {
    while TcpStream::connect(order.bind).await.is_err() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Ends Faktory by SIGTERM: a killed Faktory would leave its Redis behind.
async fn terminate(faktory: &mut Child) {
    #[cfg(target_os = "linux")]
    if let Some(id) = faktory.id().and_then(|id| i32::try_from(id).ok()) {
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(id),
            nix::sys::signal::Signal::SIGTERM,
        );
    }
    let _ = tokio::time::timeout(ENDS_WITHIN, faktory.wait()).await;
}
