//! The program: `up`, the default, is broker, API and worker together; each can also run alone.

use std::path::PathBuf;
use std::process::ExitCode;

use api_service::Registry;
use clap::builder::StyledStr;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use service_runtime::documents::variables_help;
use service_runtime::{QuietSignals, Quieting, Role, Settings, Termination};

use crate::keys::{self, KeyCommand};
use crate::parts::Running;
use crate::screen;
use crate::stores::{self, BrokerCommand};

/// A first job, at the end of `--help`, where the job type is there.
const TRY: &str = "\
Try: curl -H 'content-type: application/json' -d '{\"a\":1,\"b\":2}' \
http://127.0.0.1:3000/jobs/add";

/// Post jobs over HTTP, run them on workers, keep them in a durable work server.
///
/// Without a command everything runs in this process: broker, API and worker. Where FAKTORY_URL is
/// set, API and worker use the work server there, and no broker is started.
#[derive(Parser)]
#[command(
    version,
    after_help = "Configured by environment variables: --help lists them.",
    after_long_help = variables_help(Role::All)
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Read variables from this file; those set in the environment win
    #[arg(long, value_name = "PATH", global = true)]
    env_file: Option<PathBuf>,
    /// Ask the process with the same command and environment whether it lives; exit code 0: it does
    #[arg(long, global = true)]
    healthcheck: bool,
}

impl Arguments {
    /// The arguments of this process; where there are none that are valid, the process ends.
    fn read(jobs: &Registry) -> Self {
        let mut command = Self::command();
        if jobs.find("add").is_some() {
            let after = |text: Option<&StyledStr>| {
                format!("{TRY}\n\n{}", text.map(ToString::to_string).unwrap_or_default())
            };
            let short = after(command.get_after_help());
            let long = after(command.get_after_long_help());
            command = command.after_help(short).after_long_help(long);
        }
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

#[derive(Subcommand)]
enum Command {
    /// Broker, API and worker in one process (the default); no broker where FAKTORY_URL is set
    #[command(after_long_help = variables_help(Role::All))]
    Up,
    /// The embedded broker alone: a work server that speaks Faktory's protocol
    #[command(after_long_help = variables_help(Role::Broker))]
    Broker {
        /// What to do instead of running it
        #[command(subcommand)]
        command: Option<BrokerCommand>,
    },
    /// The HTTP API alone, for the work server at FAKTORY_URL
    #[command(after_long_help = variables_help(Role::Api))]
    Api,
    /// A worker alone, for the work server at FAKTORY_URL
    #[command(after_long_help = variables_help(Role::Worker))]
    Worker,
    /// Keys with which clients may use the API
    #[command(subcommand)]
    Key(KeyCommand),
}

/// Runs Work Factory with these typed jobs, as its command line says: the whole `main` of a binary.
/// Commands, variables, logs, signals and exit codes are those of `work-factory` itself.
///
/// The registry is made by a function, because the allocator has to be set up before anything is
/// allocated.
#[must_use]
pub fn run(jobs: impl FnOnce() -> Registry) -> ExitCode {
    allocator::return_large_blocks();
    let jobs = jobs();
    let arguments = Arguments::read(&jobs);
    let role = match arguments.command {
        None | Some(Command::Up) => Role::All,
        Some(Command::Broker { command: None }) => Role::Broker,
        Some(Command::Broker { command: Some(command) }) => {
            return match stores::run(command, arguments.env_file.as_deref()) {
                Ok(code) => code,
                Err(error) => service_runtime::report(error.as_ref()).into(),
            };
        }
        Some(Command::Api) => Role::Api,
        Some(Command::Worker) => Role::Worker,
        Some(Command::Key(command)) => {
            return match keys::run(command) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => service_runtime::report(error.as_ref()).into(),
            };
        }
    };
    close_new_files();
    service_runtime::run(role, arguments.env_file.as_deref(), arguments.healthcheck, |settings| {
        until_ended(role, settings, jobs)
    })
}

/// Lets nobody but the user of this process read the files that it makes, above all the store's. A
/// worker of one's own is another binary, whose handlers make files as they like.
fn close_new_files() {
    #[cfg(unix)]
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

async fn until_ended(role: Role, settings: Settings, jobs: Registry) -> anyhow::Result<()> {
    let mut termination = Termination::listen()?;
    // Without a worker these signals do what they do to every process.
    let quiets = if role.runs_worker() { settings.worker.quiet_signal } else { QuietSignals::NONE };
    let mut quieting = Quieting::listen(quiets)?;
    let mut running = Running::start(role, &settings, &jobs).await?;
    screen::show(&running, &settings, &jobs);
    let ended = loop {
        tokio::select! {
            signal = termination.signal() => {
                tracing::info!(signal, "ending; a second signal ends at once");
                break Ok(());
            }
            signal = quieting.signal() => {
                tracing::info!(signal, "the worker fetches no more");
                running.quiet();
            }
            ended = running.ended_by_itself(settings.process.shutdown_timeout) => break ended,
        }
    };
    termination.unless_again(running.stop(settings.process.shutdown_timeout)).await??;
    tracing::info!("ended");
    ended
}
