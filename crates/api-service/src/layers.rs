//! The layers around the handlers. Their order is in `routes.rs`.

pub(crate) mod access;
pub(crate) mod drain;
pub(crate) mod host;
pub(crate) mod metrics;
pub(crate) mod origin;
pub(crate) mod panic;
pub(crate) mod request_id;
