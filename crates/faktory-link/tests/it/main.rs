//! The link over real sockets: against the broker, and against a scripted server that misbehaves.
#![expect(clippy::unwrap_used, reason = "tests")]

mod broker;
mod last_answers;
mod once;
mod pause;
mod pipelining;
mod push;
mod quirks;
mod replies;
mod reply_budget;
mod tls;
