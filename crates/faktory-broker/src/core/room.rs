//! The room on the disk. Where little is left, pushes are refused, so that there is room to hand
//! out and end the jobs that are there.

use std::time::{Duration, Instant};

use super::Core;

/// The time between two looks at the disk.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pushes are taken again when so much more is free than the least, as a part of it: 1/8. So a disk
/// at the limit does not let in every second push.
const MORE: u64 = 8;

/// What is known of the room on the disk.
#[derive(Debug)]
pub(super) struct Room {
    min_free_bytes: u64,
    is_full: bool,
    next_look: Option<Instant>,
}

impl Room {
    pub(super) const fn new(min_free_bytes: u64) -> Self {
        Self { min_free_bytes, is_full: false, next_look: None }
    }

    /// Notes what is free; true where that makes a difference to pushes.
    const fn note(&mut self, free: u64) -> bool {
        let least = if self.is_full {
            self.min_free_bytes.saturating_add(self.min_free_bytes / MORE)
        } else {
            self.min_free_bytes
        };
        let was_full = self.is_full;
        self.is_full = free < least;
        was_full != self.is_full
    }
}

impl Core {
    /// Looks at the disk, where it is time to, and lets the machine know.
    pub(super) fn look_at_disk(&mut self) {
        let now = Instant::now();
        if self.room.next_look.is_some_and(|at| now < at) {
            return;
        }
        self.room.next_look = Some(now + LOOK_EVERY);
        self.note_refused_pushes();
        self.note_set_aside();
        self.note_remembered();
        let Some(free) = self.store.free_bytes() else { return };
        self.turned_away.note_disk_free(free);
        if !self.room.note(free) {
            return;
        }
        self.machine.set_disk_full(self.room.is_full);
        if self.room.is_full {
            tracing::error!(
                free_bytes = free,
                min_free_bytes = self.room.min_free_bytes,
                "the disk is nearly full (BROKER_MIN_FREE): jobs are refused, and handed out and \
                 ended as before"
            );
        } else {
            tracing::info!(free_bytes = free, "the disk has room again: jobs are taken");
        }
    }

    /// Hands on what of the store is not what was written.
    pub(super) fn note_set_aside(&self) {
        self.turned_away.note_set_aside(self.store.set_aside());
    }

    /// Hands on what is known of the remembered ids.
    pub(super) fn note_remembered(&mut self) {
        let now = self.now();
        self.turned_away.note_remembered(self.machine.remembered_ids(now));
    }

    /// Hands the count of refused pushes on.
    pub(super) fn note_refused_pushes(&mut self) {
        match self.machine.take_refused_pushes() {
            0 => {}
            count => self.turned_away.note_pushes_refused(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_was_full_has_room_again_when_more_than_the_least_is_free() {
        let mut room = Room::new(800);
        assert!(!room.note(800) && !room.is_full);
        assert!(room.note(799) && room.is_full);
        assert!(!room.note(899) && room.is_full);
        assert!(room.note(900) && !room.is_full);
        assert!(!room.note(801) && !room.is_full);
    }
}
