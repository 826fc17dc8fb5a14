//! The start of the machine: its state is read from the store, or begun in an empty store.

use std::collections::VecDeque;

use super::connections::Connections;
use super::info::{Infos, TaskCounts};
use super::keys::{self, Location};
use super::queues::{self, Queues};
use super::records::Counters;
use super::remembered::Remembered;
use super::replies::Replies;
use super::reservations::{LeftBehind, ReservationClock};
use super::returned::Returned;
use super::sets::Timers;
use super::tasks::Tasks;
use super::waiting::Waiting;
use super::work::Work;
use super::workers::Workers;
use super::{Machine, flush};
use crate::store::{Batch, Store, StoreError, Table, format};

/// The numbers that each start but the first leaves out. A crash may have undone a FETCH whose
/// reply had told the number of its reservation: no other reservation gets that number. Far more
/// than are given out between two syncs, and enough for four thousand million starts.
const SKIPPED_NUMBERS: u64 = 1 << 32;

impl Machine {
    /// Reads the state from a store, or begins it in an empty store. `seed` gives the jitter of
    /// retries; `max_queues` bounds the queues that clients can create.
    ///
    /// # Errors
    /// Where the store fails or holds another format.
    pub fn open(store: &mut dyn Store, seed: u64, max_queues: usize) -> Result<Self, StoreError> {
        check_format(store)?;
        let mut counters = match store.get(Table::Meta, keys::COUNTERS_KEY)? {
            Some(bytes) => skip_numbers(store, Counters::decode(&bytes)?)?,
            None => Counters::default(),
        };
        if store.get(Table::Meta, keys::FLUSHING_KEY)?.is_some() {
            // A crash came between the steps of a FLUSH of an earlier version. It is finished.
            counters = flush::emptied(counters);
            flush::empty(store, counters)?;
        }
        let left_behind = match counters.sets.working {
            0 => LeftBehind::Checked,
            _ => LeftBehind::From(keys::set_start(Location::Working).to_vec()),
        };
        let mut machine = Self {
            counters,
            queues: Queues::load(store, max_queues)?,
            connections: Connections::default(),
            workers: Workers::default(),
            waiting: Waiting::default(),
            timers: Timers::default(),
            tasks: Tasks::default(),
            infos: Infos::default(),
            to_serve: VecDeque::new(),
            replies: Replies::default(),
            work: Work::default(),
            returned: Returned::default(),
            reservation_clock: ReservationClock::default(),
            left_behind,
            remembered: Remembered::load(store)?,
            trash: queues::load_trash(store)?,
            runnable: VecDeque::new(),
            outputs: Vec::new(),
            json: Vec::new(),
            counts: TaskCounts::default(),
            random: fastrand::Rng::with_seed(seed),
            used_memory_mb: 0,
            broker_counts: None,
            disk_is_full: false,
            refused_pushes: 0,
            shutting_down: false,
            unsynced: false,
            touched: None,
        };
        for location in Location::ALL {
            machine.find_first(store, location)?;
        }
        Ok(machine)
    }
}

/// Leaves numbers out, durably: the next start leaves out others, also where nothing is written
/// until then.
fn skip_numbers(store: &mut dyn Store, mut counters: Counters) -> Result<Counters, StoreError> {
    counters.next = counters.next.saturating_add(SKIPPED_NUMBERS);
    let mut batch = Batch::default();
    batch.put(Table::Meta, keys::COUNTERS_KEY, counters.encode());
    store.write(batch)?;
    store.sync()?;
    Ok(counters)
}

/// Writes the version of the format into an empty store, and refuses a store of another version.
fn check_format(store: &mut dyn Store) -> Result<(), StoreError> {
    match store.get(Table::Meta, format::KEY)? {
        None => {
            let mut batch = Batch::default();
            batch.put(Table::Meta, format::KEY, format::VERSION.to_be_bytes().to_vec());
            store.write(batch)?;
            store.sync()
        }
        Some(found) => format::check(&found),
    }
}
