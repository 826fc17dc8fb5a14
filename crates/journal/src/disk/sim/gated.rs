//! A disk on which one operation takes until the test lets it go on.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use super::{Action, SimDisk, Watched, Watcher};

/// Holds up one write or sync.
#[derive(Debug)]
pub struct Gate {
    action: Action,
    name_ends: &'static str,
    /// At one, the next such action is held up; at zero, none is.
    left: AtomicUsize,
    arrived: Barrier,
    go_on: Barrier,
}

impl Gate {
    /// A gate for this action, a write or a sync, on files whose names end so. It is open.
    #[must_use]
    pub fn new(action: Action, name_ends: &'static str) -> Arc<Self> {
        let (arrived, go_on) = (Barrier::new(2), Barrier::new(2));
        Arc::new(Self { action, name_ends, left: AtomicUsize::new(0), arrived, go_on })
    }

    /// The action of this number from now on, 1 for the next, is held up.
    pub fn close_before(&self, number: usize) {
        self.left.store(number, Ordering::SeqCst);
    }

    /// Waits until the action is held up.
    pub fn await_arrival(&self) {
        self.arrived.wait();
    }

    /// Lets the action go on that is held up.
    pub fn open(&self) {
        self.go_on.wait();
    }

    fn pass(&self, action: Action, name: &str) {
        if action == self.action
            && name.ends_with(self.name_ends)
            && self.left.load(Ordering::SeqCst) > 0
            && self.left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            self.arrived.wait();
            self.go_on.wait();
        }
    }
}

/// A disk behind a [`Gate`].
pub type Gated = Watched<Gate>;

impl Watcher for Gate {
    fn writes(&self, _: &SimDisk, name: &str, _: u64) -> io::Result<()> {
        self.pass(Action::Write, name);
        Ok(())
    }

    fn syncs(&self, name: &str) {
        self.pass(Action::Sync, name);
    }
}
