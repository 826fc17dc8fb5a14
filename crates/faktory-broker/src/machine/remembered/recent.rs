//! The UUIDs that were remembered lately. Clients push new ones nearly in order, over several
//! connections: whether such a one is new is told here, without a look into the store.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::Uuid;

/// Half of what is kept: a push of the largest size that is one atomic write, on each of fifty
/// connections.
const HALF: usize = 50_000;

/// All UUIDs that were remembered in their order and come behind `after`.
#[derive(Debug)]
pub(super) struct Recent {
    after: Uuid,
    older: HashSet<Uuid, RandomState>,
    /// The last of the older ones.
    last_of_older: Uuid,
    younger: HashSet<Uuid, RandomState>,
    last_of_younger: Uuid,
}

impl Recent {
    /// Nothing behind this one is remembered.
    pub(super) fn behind(after: Uuid) -> Self {
        Self {
            after,
            older: HashSet::default(),
            last_of_older: after,
            younger: HashSet::default(),
            last_of_younger: after,
        }
    }

    /// True where the UUID is surely not remembered in its order.
    pub(super) fn is_new(&self, uuid: &Uuid) -> bool {
        *uuid > self.after && !self.younger.contains(uuid) && !self.older.contains(uuid)
    }

    /// Notes one that is remembered.
    pub(super) fn note(&mut self, uuid: Uuid) {
        if self.younger.len() >= HALF {
            self.after = self.after.max(self.last_of_older);
            self.last_of_older = self.last_of_younger;
            std::mem::swap(&mut self.older, &mut self.younger);
            self.younger.clear();
        }
        self.last_of_younger = self.last_of_younger.max(uuid);
        self.younger.insert(uuid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_noted_is_never_new_and_late_ones_are_found_to_be() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut recent = Recent::behind(Uuid([0; 16]));
        let at = |number: u64| Uuid(u128::from(number).to_be_bytes());
        let mut noted = HashSet::new();
        let (mut new, mut looks) = (0, 0);
        for number in 1..5 * HALF as u64 {
            // Nearly in order; every third one is left out.
            let number = 3 * number + random.u64(..3000);
            assert!(!recent.is_new(&at(number)) || !noted.contains(&number));
            noted.insert(number);
            recent.note(at(number));
            let other = 3 * (number / 3) + 1;
            looks += 1;
            new += u64::from(recent.is_new(&at(other)));
            assert!(!recent.is_new(&at(other)) || !noted.contains(&other));
        }
        assert!(new > looks / 3, "{new} of {looks}");
        let oldest = *noted.iter().min().unwrap();
        assert!(!recent.is_new(&at(oldest)));
    }
}
