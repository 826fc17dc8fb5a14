//! Who may use the API: holders of keys, and where there are no keys, everybody but web pages of
//! other origins and those who come through an unknown proxy. The layers that enforce it are in
//! `layers/`.

pub(crate) mod client;
mod forwarded;
pub(crate) mod host;
pub(crate) mod keyring;
pub(crate) mod origins;
