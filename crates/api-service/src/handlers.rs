//! The handlers, a file for each kind of request. Their paths are in `routes.rs`.

pub(crate) mod batch;
pub(crate) mod fallback;
pub(crate) mod health;
pub(crate) mod metrics;
mod push;
pub(crate) mod single;
pub(crate) mod stream;
