//! Who may use the API: holders of keys, and where there are no keys, everybody but web pages of
//! other origins. The layers that enforce it are in `layers/`.

pub(crate) mod keyring;
pub(crate) mod origins;
