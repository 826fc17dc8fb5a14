//! `benchmark link`: a command on the far side of an emulated link, with forwarded and published
//! ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use link_emulator::{Direction, Link, LinkConfig, Settings, Verdict};
use tokio::net::{TcpListener, TcpStream};

use crate::terminal;
use crate::values::{parse_duration, parse_rate, parse_share};

/// The arguments of `benchmark link`.
#[derive(Debug, Args)]
pub(crate) struct LinkArguments {
    /// Round trip, half of it each way
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "0ms")]
    rtt: Duration,
    /// Largest additional time of a round trip, half of it each way
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "0ms")]
    jitter: Duration,
    /// Let packets overtake each other because of jitter
    #[arg(long)]
    reorder: bool,
    /// Share of lost packets, each way: 1% or 0.01
    #[arg(long, value_name = "SHARE", value_parser = parse_share, default_value = "0")]
    loss: f64,
    /// Bits a second each way: 20mbit, 1gbit
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    rate: Option<u64>,
    /// Most packets that wait for their turn at that rate
    #[arg(long, value_name = "PACKETS", default_value_t = Settings::default().queue)]
    queue: usize,
    /// Forget flows that were idle for this time, as a NAT does
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    forget_idle: Option<Duration>,
    /// TCP congestion control of the near side
    #[arg(long, value_name = "NAME")]
    near_congestion: Option<String>,
    /// TCP congestion control of the far side
    #[arg(long, value_name = "NAME")]
    far_congestion: Option<String>,
    /// Port of this machine's loopback that the command reaches at 10.77.0.1; can be repeated
    #[arg(long, value_name = "PORT")]
    forward: Vec<u16>,
    /// Port of the command at 10.77.0.2 that this machine reaches on its loopback; can be repeated
    #[arg(long, value_name = "PORT")]
    publish: Vec<u16>,
    /// Command that runs on the far side
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// The exit code of a command that a signal ended, as in shells: 128 plus the signal's number.
const SIGNALLED: u8 = 128;

/// Runs a command on the far side of a link, and returns the command's exit code.
pub(crate) fn run(arguments: &LinkArguments) -> anyhow::Result<ExitCode> {
    let settings = Settings {
        delay: arguments.rtt / 2,
        jitter: arguments.jitter / 2,
        reorder: arguments.reorder,
        loss: arguments.loss,
        rate: arguments.rate,
        queue: arguments.queue,
    };
    let link = Arc::new(Link::start(LinkConfig {
        near_congestion: arguments.near_congestion.clone(),
        far_congestion: arguments.far_congestion.clone(),
        ..LinkConfig::both_ways(settings)
    })?);
    link.forget_idle_flows(arguments.forget_idle);
    let runtime = tokio::runtime::Runtime::new()?;
    let status = runtime.block_on(async {
        for port in &arguments.forward {
            let from = SocketAddr::from((link.near_address(), *port));
            let listener = link
                .near()
                .run(|| std::net::TcpListener::bind(from))?
                .with_context(|| format!("failed to listen at {from}"))?;
            listener.set_nonblocking(true)?;
            tokio::spawn(forward(TcpListener::from_std(listener)?, *port));
        }
        for port in &arguments.publish {
            let from = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            let listener = TcpListener::bind(from)
                .await
                .with_context(|| format!("failed to listen at {from}"))?;
            tokio::spawn(publish(listener, Arc::clone(&link), *port));
        }
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["exec", "--parent", &std::process::id().to_string(), "--"])
            .args(&arguments.command);
        let mut child = link.far().spawn(command)?;
        let mut ended = tokio::task::spawn_blocking(move || child.wait());
        loop {
            tokio::select! {
                status = &mut ended => return anyhow::Ok(status??),
                // The terminal sends the interrupt to the command too; the command decides.
                signal = tokio::signal::ctrl_c() => signal?,
            }
        }
    })?;
    runtime.shutdown_background();
    say(&link);
    match status.code() {
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))),
        None => Ok(ExitCode::from(SIGNALLED.saturating_add(signal_of(status)))),
    }
}

fn signal_of(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    status.signal().and_then(|signal| u8::try_from(signal).ok()).unwrap_or(0)
}

/// Prints the link's counters on standard error: standard output belongs to the command.
fn say(link: &Link) {
    let direction = |direction| {
        let counters = link.counters(direction);
        format!(
            "{} packets, {} lost, {} over the queue",
            counters.packets, counters.lost, counters.queue_full
        )
    };
    terminal::say(&format!(
        "link: near to far {}; far to near {}",
        direction(Direction::NearToFar),
        direction(Direction::FarToNear)
    ));
    if let Verdict::Void(reasons) = link.verdict() {
        terminal::say(&format!(
            "link: what was measured meanwhile is VOID: {}",
            reasons.join("; ")
        ));
    }
}

/// The next connection. Errors, such as too few descriptors, are temporary: accept tries again.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Forwards connections of the far side to a port of this machine's loopback.
async fn forward(listener: TcpListener, port: u16) {
    loop {
        let mut stream = accept(&listener).await;
        tokio::spawn(async move {
            if let Ok(mut target) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                carry(&mut stream, &mut target).await;
            }
        });
    }
}

/// Carries connections of this machine to a port of the far side.
async fn publish(listener: TcpListener, link: Arc<Link>, port: u16) {
    loop {
        let mut stream = accept(&listener).await;
        let link = Arc::clone(&link);
        tokio::spawn(async move {
            let connect = move || {
                link.near().run(|| std::net::TcpStream::connect((link.far_address(), port)))
            };
            let Ok(Ok(Ok(target))) = tokio::task::spawn_blocking(connect).await else { return };
            if target.set_nonblocking(true).is_ok()
                && let Ok(mut target) = TcpStream::from_std(target)
            {
                carry(&mut stream, &mut target).await;
            }
        });
    }
}

async fn carry(one: &mut TcpStream, other: &mut TcpStream) {
    let _ = (one.set_nodelay(true), other.set_nodelay(true));
    // Either side may close at any time.
    let _ = tokio::io::copy_bidirectional(one, other).await;
}

/// Becomes a program that is not ours, and arranges that the kernel tells the program to end when
/// the benchmark ends, in whatever way.
pub(crate) fn exec(parent: u32, command: &[String]) -> anyhow::Result<std::convert::Infallible> {
    use std::os::unix::process::CommandExt;
    link_emulator::die_with_parent(parent)?;
    let Some((program, arguments)) = command.split_first() else { bail!("no command") };
    Err(Command::new(program).args(arguments).exec())
        .with_context(|| format!("failed to run {program}"))
}
