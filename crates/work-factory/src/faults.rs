//! Failures of the start that a person can repair, each with the advice how.

use std::io;
use std::path::Path;

use anyhow::Error;
use api_service::ApiError;
use faktory_broker::{BrokerError, StoreError};

pub(crate) fn of_broker(error: BrokerError) -> Error {
    match &error {
        BrokerError::Bind { address, source } if is_taken(source) => {
            let advice = format!(
                "{address} is taken, perhaps by a Faktory or another Work Factory: \
                 FAKTORY_URL=tcp://{address} would use it; BROKER_BIND_ADDR moves the broker \
                 (127.0.0.1:0 takes any free port; a second one also needs another BIND_ADDR and \
                 BROKER_DATA_DIR)"
            );
            Error::new(error).context(advice)
        }
        BrokerError::Bind { .. } => {
            Error::new(error).context("BROKER_BIND_ADDR says where the broker listens")
        }
        BrokerError::Store(StoreError::InUse { .. }, _) => Error::new(error).context(
            "another Work Factory is running; BROKER_DATA_DIR names another folder for this one",
        ),
        BrokerError::Store(cause, folder) if cause.is_denied() => {
            let advice = rights_of(folder);
            Error::new(error).context(advice)
        }
        BrokerError::Store(..) => {
            Error::new(error).context("BROKER_DATA_DIR names the folder of the broker's data")
        }
        BrokerError::Thread(_) => Error::new(error),
    }
}

/// Which rights are lacking to whom.
pub(crate) fn rights_of(folder: &Path) -> String {
    let folder = folder.display();
    #[cfg(unix)]
    let user = {
        let id = nix::unistd::geteuid();
        let user = nix::unistd::User::from_uid(id).ok().flatten();
        user.map_or_else(|| format!("user {id}"), |user| format!("user {} ({id})", user.name))
    };
    #[cfg(not(unix))]
    let user = "the user of this process";
    format!("{user} must be able to read and write {folder} and all that is in it, and may not")
}

pub(crate) fn of_api(error: ApiError) -> Error {
    match &error {
        ApiError::Bind { address, source } if is_taken(source) => {
            let advice = format!(
                "{address} is taken; BIND_ADDR moves the API (127.0.0.1:0 takes any free port)"
            );
            Error::new(error).context(advice)
        }
        ApiError::Bind { .. } => Error::new(error).context("BIND_ADDR says where the API listens"),
        ApiError::FileNotLoaded(_) | ApiError::Jobs(_) | ApiError::Pool(_) => Error::new(error),
    }
}

pub(crate) fn of_worker(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(error).context("WORKER_BIND_ADDR says where the worker answers /health")
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}
