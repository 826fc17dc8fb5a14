//! `work-factory broker verify` and `repair`: a look at a store that no process has open, and what
//! can be kept of a damaged one.

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
    /// Write what can be kept of a damaged store into a new folder, and say what can't
    Repair {
        /// The data folder of the damaged store, which is not changed
        folder: PathBuf,
        /// The new data folder, which is empty or does not exist
        new_folder: PathBuf,
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
        BrokerCommand::Repair { folder, new_folder } => repair(&folder, &new_folder),
    }
}

fn verify(folder: &Path) -> anyhow::Result<ExitCode> {
    let report = faktory_broker::verify(folder).map_err(|error| of_folder(error, folder))?;
    let folder = folder.display();
    let end = if report.is_whole() {
        "all is well".into()
    } else {
        format!(
            "not all is well: \"work-factory broker repair {folder} NEW_FOLDER\" writes what can \
             be kept into a new folder"
        )
    };
    show(&format!("{report}{end}\n"))?;
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn repair(folder: &Path, new_folder: &Path) -> anyhow::Result<ExitCode> {
    let repaired = faktory_broker::repair(folder, new_folder).map_err(|error| match error {
        StoreError::NotEmpty | StoreError::Folder(_) => {
            anyhow::Error::new(error).context(format!("{}", new_folder.display()))
        }
        error => of_folder(error, folder),
    })?;
    let new_folder = new_folder.display();
    show(&format!("{repaired}the new store is in {new_folder}: BROKER_DATA_DIR={new_folder}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn of_folder(error: StoreError, folder: &Path) -> anyhow::Error {
    if error.is_denied() {
        return anyhow::Error::new(error).context(crate::faults::rights_of(folder));
    }
    let advice = match &error {
        StoreError::InUse { .. } => {
            " is open: end the broker that uses it first, or look at a snapshot of its file system"
        }
        _ => " can't be read",
    };
    anyhow::Error::new(error).context(format!("{}{advice}", folder.display()))
}

fn show(text: &str) -> anyhow::Result<()> {
    let text = plain_text(text, true);
    std::io::stdout().lock().write_all(text.as_bytes()).context("failed to show the report")
}
