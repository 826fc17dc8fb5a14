//! The line of a FETCH: the queues in their order, or in an order that is drawn for each FETCH.

use faktory_wire::{Command, FetchMany, Word};
use service_runtime::QueueOrder;

/// The queues that a worker fetches from.
#[derive(Debug)]
pub(crate) enum FetchLine {
    /// The queues in this order.
    Strict(Vec<Word>),
    /// Queues and their weights.
    Weighted(Vec<(String, u32)>),
}

impl FetchLine {
    pub(crate) fn new(order: &QueueOrder) -> Self {
        if order.is_weighted() {
            Self::Weighted(order.queues().to_vec())
        } else {
            Self::Strict(words(order.names()))
        }
    }

    /// The line of the next FETCH, or of the next WF FETCH for up to `most` jobs.
    pub(crate) fn get(&self, most: Option<usize>) -> Vec<u8> {
        let queues = self.queues();
        let command = match most {
            None => Command::Fetch(queues),
            Some(most) => Command::FetchMany(FetchMany { most, queues }),
        };
        command.to_line()
    }

    /// The queues of the next FETCH. With weights, each queue is in front as often as its share of
    /// all weights, so none starves: the order is that of u^(1/w) for a random u each (Efraimidis
    /// and Spirakis, "Weighted random sampling with a reservoir", 2006).
    fn queues(&self) -> Vec<Word> {
        match self {
            Self::Strict(queues) => queues.clone(),
            Self::Weighted(queues) => {
                let mut keyed: Vec<(f64, &String)> = queues
                    .iter()
                    .map(|(name, weight)| (fastrand::f64().powf(1.0 / f64::from(*weight)), name))
                    .collect();
                keyed.sort_by(|(a, _), (b, _)| b.total_cmp(a));
                words(keyed.into_iter().map(|(_, name)| name.as_str()))
            }
        }
    }
}

/// The names as words, as [`QueueOrder`] has checked.
fn words<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Word> {
    names.filter_map(|name| Word::new(name).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_queues_keep_their_order() {
        let line = FetchLine::new(&QueueOrder::strict(["critical", "default"]).unwrap());
        assert_eq!(line.get(None), b"FETCH critical default\r\n");
        let many = b"WF FETCH {\"n\":9,\"queues\":[\"critical\",\"default\"]}\r\n";
        assert_eq!(line.get(Some(9)), many);
    }

    #[test]
    fn weighted_queues_are_in_front_by_their_weight_and_none_starves() {
        let line = FetchLine::new(&"critical, default*3".parse().unwrap());
        let first = |line: Vec<u8>| line.starts_with(b"FETCH default critical\r\n");
        let defaults = (0..10_000).filter(|_| first(line.get(None))).count();
        // 7,500 expected; the standard deviation is 43.
        assert!((7200..7800).contains(&defaults), "{defaults}");
    }
}
