#![doc = include_str!("../README.md")]

mod proxy;
mod settings;
mod shaper;

#[cfg(target_os = "linux")]
mod config;
#[cfg(target_os = "linux")]
mod congestion;
#[cfg(target_os = "linux")]
mod counters;
#[cfg(target_os = "linux")]
mod device;
#[cfg(target_os = "linux")]
mod flows;
#[cfg(target_os = "linux")]
mod link;
#[cfg(target_os = "linux")]
mod namespace;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(target_os = "linux")]
mod relay;

pub use proxy::DelayProxy;
pub use settings::{Direction, Settings};

#[cfg(target_os = "linux")]
pub use config::{LinkConfig, LinkError};
#[cfg(target_os = "linux")]
pub use congestion::CongestionControl;
#[cfg(target_os = "linux")]
pub use counters::{DirectionCounters, Tolerance, Verdict};
#[cfg(target_os = "linux")]
pub use link::Link;
#[cfg(target_os = "linux")]
pub use namespace::Namespace;
#[cfg(target_os = "linux")]
pub use processes::{die_with_parent, enter_user_namespace};
