//! `work-factory broker verify`: a look at a store that no process has open.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use faktory_broker::StoreError;
use service_runtime::plain_text;

#[derive(Subcommand)]
pub(crate) enum BrokerCommand {
    /// Read all of a store, change nothing, and say what is in it; exit code 0: all is well
    Verify {
        /// The data folder; without, that of BROKER_DATA_DIR, or the default of the broker
        folder: Option<PathBuf>,
    },
}

/// Runs a command, and gives its exit code: 0 only where all is well.
///
/// # Errors
/// Where the store can't be read.
pub(crate) fn run(command: BrokerCommand, env_file: Option<&Path>) -> anyhow::Result<ExitCode> {
    match command {
        BrokerCommand::Verify { folder } => {
            let folder = folder.or_else(|| service_runtime::broker_data_dir(env_file)).context(
                "name the data folder, or set BROKER_DATA_DIR: the user's data folder can't be \
                 found",
            )?;
            verify(&folder)
        }
    }
}

fn verify(folder: &Path) -> anyhow::Result<ExitCode> {
    let report = faktory_broker::verify(folder).map_err(|error| of_folder(error, folder))?;
    let end = if report.is_whole() {
        "all is well"
    } else {
        "not all is well: keep a copy of the folder before anything else"
    };
    show(&format!("{report}{end}\n"))?;
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn of_folder(error: StoreError, folder: &Path) -> anyhow::Error {
    let advice = match &error {
        StoreError::InUse => " is open: end the broker that uses it first, or look at a copy",
        _ => " can't be read",
    };
    anyhow::Error::new(error).context(format!("{}{advice}", folder.display()))
}

fn show(text: &str) -> anyhow::Result<()> {
    let text = plain_text(text, true);
    std::io::stdout().lock().write_all(text.as_bytes()).context("failed to show the report")
}
