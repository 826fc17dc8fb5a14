//! Jobs in queues again whose replies may have reached somebody: where they lie, so that an ACK for
//! one, sent by who had it after all, ends it there instead of being an ACK for nothing, and the
//! job being run a second time.

use std::collections::{HashMap, VecDeque};

use super::keys::IdHash;

/// So many are known at the most; for older ones an ACK is one for nothing, and they are run again,
/// as every job may be.
const MAX: usize = 100_000;

/// Where such a job lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) queue: u32,
    pub(super) position: u64,
    /// The job's number, since another may have taken that place.
    pub(super) job: u64,
}

#[derive(Debug, Default)]
pub(super) struct GivenBack {
    by_id: HashMap<IdHash, VecDeque<Place>>,
    /// The oldest first; those that are not in the map any more are skipped.
    order: VecDeque<(IdHash, u64)>,
}

impl GivenBack {
    pub(super) fn note(&mut self, id: IdHash, place: Place) {
        self.by_id.entry(id).or_default().push_back(place);
        self.order.push_back((id, place.job));
        if self.order.len() > MAX
            && let Some((id, job)) = self.order.pop_front()
        {
            self.forget(id, job);
        }
    }

    /// The one of this id that was given back first.
    pub(super) fn take(&mut self, id: IdHash) -> Option<Place> {
        let places = self.by_id.get_mut(&id)?;
        let place = places.pop_front();
        if places.is_empty() {
            self.by_id.remove(&id);
        }
        place
    }

    /// The job has been handed out again: from now on its reservation is what an ACK ends.
    pub(super) fn forget(&mut self, id: IdHash, job: u64) {
        let Some(places) = self.by_id.get_mut(&id) else { return };
        places.retain(|place| place.job != job);
        if places.is_empty() {
            self.by_id.remove(&id);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
