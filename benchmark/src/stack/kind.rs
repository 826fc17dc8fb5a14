//! The kinds of work servers that can be measured.

use std::path::PathBuf;

use crate::part::order::Server;

/// Which work server is measured.
#[derive(Debug, Clone)]
pub(crate) enum ServerKind {
    /// The embedded broker.
    Broker,
    /// A real Faktory, started from this program file.
    Faktory(PathBuf),
    /// A work server that runs already.
    Given {
        /// The API's address, where there is one.
        api: Option<String>,
        /// The work server.
        server: Server,
    },
}
