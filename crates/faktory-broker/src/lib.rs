#![doc = include_str!("../README.md")]

mod backup;
mod budget;
mod catch_up;
mod clock;
mod command_memory;
mod config;
mod connection;
mod core;
mod delivery;
mod machine;
mod observer;
mod repair;
mod server;
mod shared_io;
mod store;
mod turned_away;
mod unwritten;
mod verify;

pub use backup::{backup, restore};
pub use config::BrokerConfig;
pub use machine::{
    ConnectionId, IdLimits, Machine, Mended, Now, Output, RememberedIds, Reservation, Tables,
};
pub use observer::Observer;
pub use repair::{Repaired, repair};
pub use server::{Broker, BrokerError};
pub use store::{
    Batch, Change, GroundStore, MemoryStore, STORE_FILES_MAX, SetAside, Store, StoreError, Table,
};
pub use turned_away::TurnedAway;
pub use verify::{StoreReport, verify};
