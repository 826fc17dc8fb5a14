//! The queues that a worker works on, and the order in which each fetch looks at them.

use std::fmt;
use std::str::FromStr;

/// A queue's largest weight.
const WEIGHT_MAX: u32 = 1000;

/// The queues of a worker, in strict order or with weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueOrder {
    queues: Vec<(String, u32)>,
    is_weighted: bool,
}

impl QueueOrder {
    /// A strict order: a queue is looked at only where the queues before it are empty.
    ///
    /// # Errors
    /// Where a name is not 1 to 100 characters out of `A-Z a-z 0-9 . _ -`, or appears twice, or
    /// there is none.
    pub fn strict<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Result<Self, String> {
        let mut order = Self { queues: Vec::new(), is_weighted: false };
        for name in names {
            order.add(&name.into(), 1)?;
        }
        if order.queues.is_empty() { Err(ACCEPTED.into()) } else { Ok(order) }
    }

    fn add(&mut self, name: &str, weight: u32) -> Result<(), String> {
        if !is_queue_name(name) || self.names().any(|known| known == name) {
            return Err(ACCEPTED.into());
        }
        self.queues.push((name.into(), weight));
        Ok(())
    }

    /// True where each fetch looks at the queues in an order that is drawn by their weights; false
    /// where the order is strict.
    #[must_use]
    pub const fn is_weighted(&self) -> bool {
        self.is_weighted
    }

    /// The queues and their weights; a queue without a weight has 1.
    #[must_use]
    pub fn queues(&self) -> &[(String, u32)] {
        &self.queues
    }

    /// The queues' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.queues.iter().map(|(name, _)| name.as_str())
    }
}

/// True for the name of a queue, by the API's rule.
pub(crate) fn is_queue_name(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// The orders that are accepted, for people.
const ACCEPTED: &str = "queue names separated by commas, each 1 to 100 characters out of A-Z a-z \
                        0-9 . _ - and perhaps a weight from 1 to 1000, as in \
                        critical*5,default*3,bulk, no name twice";

impl FromStr for QueueOrder {
    type Err = String;

    /// Names separated by commas are a strict order. One weight (`default*3`) makes the whole order
    /// weighted.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut order = Self { queues: Vec::new(), is_weighted: false };
        for entry in text.split(',') {
            let (name, weight) = match entry.split_once('*') {
                None => (entry.trim(), 1),
                Some((name, weight)) => {
                    order.is_weighted = true;
                    let weight = weight
                        .trim()
                        .parse()
                        .ok()
                        .filter(|weight| (1..=WEIGHT_MAX).contains(weight));
                    (name.trim(), weight.ok_or(ACCEPTED)?)
                }
            };
            order.add(name, weight)?;
        }
        Ok(order)
    }
}

impl fmt::Display for QueueOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, weight)) in self.queues.iter().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            if self.is_weighted {
                write!(f, "{separator}{name}*{weight}")
            } else {
                write!(f, "{separator}{name}")
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_alone_are_a_strict_order_and_one_weight_makes_the_order_weighted() {
        let strict: QueueOrder = "critical, default".parse().unwrap();
        assert_eq!(
            (strict.is_weighted(), strict.to_string().as_str()),
            (false, "critical,default")
        );
        assert_eq!(Ok(strict), QueueOrder::strict(["critical", "default"]));
        let weighted: QueueOrder = "critical, default * 3,bulk".parse().unwrap();
        assert_eq!(
            (weighted.is_weighted(), weighted.to_string().as_str()),
            (true, "critical*1,default*3,bulk*1")
        );
    }

    #[test]
    fn a_text_that_is_no_order_of_queues_is_refused() {
        for text in ["", "a,,b", "a b", "a*0", "a*1001", "a*x", "a*-1", "*3", "a,a", "ä"] {
            assert!(text.parse::<QueueOrder>().is_err(), "{text}");
        }
        for names in [&["a b"][..], &["a\r\nFLUSH"], &["a", "a"], &[]] {
            assert!(QueueOrder::strict(names.iter().copied()).is_err(), "{names:?}");
        }
    }
}
