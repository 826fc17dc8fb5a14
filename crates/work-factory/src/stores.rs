//! `work-factory broker backup` and `restore`: a copy of a store, also while its broker runs, and
//! back. `verify` and `repair`: a look at a store that no process has open, and what can be kept of
//! a damaged one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use faktory_broker::{StoreError, StoreReport};
use service_runtime::plain_text;

/// The exit code where what was asked for is done, but something of the store is damaged.
const NOT_ALL: u8 = 3;

#[derive(Subcommand)]
pub(crate) enum BrokerCommand {
    /// Copy the store into a new folder, also while the broker runs; exit code 3: done, but the
    /// store is damaged, and the copy with it
    Backup {
        /// The new data folder, which is empty or does not exist
        path: PathBuf,
        /// The data folder; without, that of BROKER_DATA_DIR, or the default of the broker
        folder: Option<PathBuf>,
    },
    /// Make a backup into the data folder of a broker that does not run
    Restore {
        /// The backup, which is not changed
        backup: PathBuf,
        /// The data folder, which is empty or does not exist; without, that of BROKER_DATA_DIR, or
        /// the default of the broker
        folder: Option<PathBuf>,
    },
    /// Read all of a store, change nothing, and say what is in it; exit code 0: all is well
    Verify {
        /// The data folder; without, that of BROKER_DATA_DIR, or the default of the broker
        folder: Option<PathBuf>,
    },
    /// Write what can be kept of a damaged store into a new folder, and say what can't; exit code
    /// 3: done, but something was not kept; 1: there is no new store
    Repair {
        /// The data folder of the damaged store, which is not changed
        folder: PathBuf,
        /// The new data folder, which is empty or does not exist
        new_folder: PathBuf,
    },
}

/// Runs a command, and gives its exit code: 0 only where all is well, [`NOT_ALL`] where it was
/// carried out all the same.
///
/// # Errors
/// Where the store can't be read.
pub(crate) fn run(command: BrokerCommand, env_file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let or_own = |folder: Option<PathBuf>| {
        folder.or_else(|| service_runtime::broker_data_dir(env_file)).context(
            "name the data folder, or set BROKER_DATA_DIR: the user's data folder can't be found",
        )
    };
    match command {
        BrokerCommand::Backup { path, folder } => backup(&or_own(folder)?, &path),
        BrokerCommand::Restore { backup, folder } => restore(&backup, &or_own(folder)?),
        BrokerCommand::Verify { folder } => verify(&or_own(folder)?),
        BrokerCommand::Repair { folder, new_folder } => repair(&folder, &new_folder),
    }
}

fn backup(folder: &Path, path: &Path) -> anyhow::Result<ExitCode> {
    let report =
        faktory_broker::backup(folder, path).map_err(|error| of_copy(error, folder, path))?;
    let (folder, path) = (folder.display(), path.display());
    let end = if report.is_whole() {
        format!("all is well; \"work-factory broker restore {path}\" makes a data folder of it")
    } else {
        format!(
            "not all is well: {folder} is damaged, and so is the copy. End the broker, and \
             \"work-factory broker repair {folder} NEW_FOLDER\" writes what can be kept"
        )
    };
    show(&format!("{report}{end}\n"))?;
    Ok(code_of(report.is_whole()))
}

fn restore(backup: &Path, folder: &Path) -> anyhow::Result<ExitCode> {
    let report: StoreReport =
        faktory_broker::restore(backup, folder).map_err(|error| of_copy(error, backup, folder))?;
    show(&format!("{report}all is well\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The exit code of a command that was carried out.
fn code_of(is_whole: bool) -> ExitCode {
    if is_whole { ExitCode::SUCCESS } else { ExitCode::from(NOT_ALL) }
}

/// What hindered the making of one data folder into another.
fn of_copy(error: StoreError, from: &Path, to: &Path) -> anyhow::Error {
    match error {
        StoreError::NotEmpty | StoreError::Folder(_) => {
            anyhow::Error::new(error).context(format!("{}", to.display()))
        }
        StoreError::InUse { .. } | StoreError::Absent(_) | StoreError::Denied(_) => {
            of_folder(error, from)
        }
        error => {
            let what = format!("{} can't be copied into {}", from.display(), to.display());
            anyhow::Error::new(error).context(what)
        }
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
    Ok(code_of(repaired.is_whole()))
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
