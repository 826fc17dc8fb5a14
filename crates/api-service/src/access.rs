//! Who may use the API: holders of keys, and where there are no keys, everybody but web pages of
//! other origins. The layers that enforce it are in `layers/`.

pub(crate) mod keyring;
pub(crate) mod origins;

use std::path::PathBuf;

use service_runtime::Keys;

/// The configuration of access.
#[derive(Debug, Clone, Default)]
pub struct AccessConfig {
    /// The keys, and the file from which they are read again when it changes. Without keys,
    /// everybody may do everything.
    pub keys: Option<(PathBuf, Keys)>,
    /// Host names under which the API is reached, beside the names of this machine's loopback
    /// addresses. They matter only where there are no keys.
    pub hosts: Vec<String>,
}
