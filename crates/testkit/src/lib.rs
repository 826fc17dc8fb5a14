#![doc = include_str!("../README.md")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on fails at once"
)]

mod api;
mod certificates;
pub mod http;
mod logged;
mod process;
mod quirky;
mod remembering;
mod strangers;
pub mod transcript;
mod wire_client;
mod work_server;

pub use api::TestApi;
pub use certificates::Authority;
pub use logged::Logged;
pub use process::{TestProcess, eventually};
pub use quirky::{Quirky, Session};
pub use remembering::{Fault, Remembering};
pub use strangers::Strangers;
pub use wire_client::WireClient;
pub use work_server::{WorkServer, WorkServerKind};
