//! A set of queues that something holds for: some by name, all, or none.

use std::fmt;
use std::str::FromStr;

use crate::queue_order::is_queue_name;

/// A set of queues.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueSet {
    has_all: bool,
    names: Vec<String>,
}

impl QueueSet {
    /// Every queue.
    #[must_use]
    pub const fn all() -> Self {
        Self { has_all: true, names: Vec::new() }
    }

    /// These queues.
    #[must_use]
    pub fn of<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self { has_all: false, names: names.into_iter().map(Into::into).collect() }
    }

    /// True for a queue of the set.
    #[must_use]
    pub fn contains(&self, queue: &str) -> bool {
        self.has_all || self.names.iter().any(|name| name == queue)
    }

    /// True where there is no queue in the set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.has_all && self.names.is_empty()
    }
}

/// The sets that are accepted, for people.
const ACCEPTED: &str = "* (every queue), or queue names separated by commas, each 1 to 100 \
                        characters out of A-Z a-z 0-9 . _ -, as in archive,reports";

impl FromStr for QueueSet {
    type Err = String;

    /// `*` is every queue; an empty text is none.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => return Ok(Self::default()),
            "*" => return Ok(Self::all()),
            _ => {}
        }
        let names = text.split(',').map(|name| {
            let name = name.trim();
            is_queue_name(name).then(|| name.to_owned())
        });
        names.collect::<Option<Vec<_>>>().map(Self::of).ok_or_else(|| ACCEPTED.into())
    }
}

impl fmt::Display for QueueSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { has_all: true, .. } => f.write_str("*"),
            set if set.is_empty() => f.write_str("none"),
            Self { names, .. } => f.write_str(&names.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_queues_that_it_names() {
        for (text, archive, other, shown) in [
            ("", false, false, "none"),
            ("*", true, true, "*"),
            ("archive", true, false, "archive"),
            ("archive, reports", true, false, "archive,reports"),
            ("archive2", false, false, "archive2"),
        ] {
            let set: QueueSet = text.parse().unwrap();
            assert_eq!((set.contains("archive"), set.contains("other")), (archive, other));
            assert_eq!(set.to_string(), shown);
        }
        for text in ["a,,b", "a b", "a,*", "a*3", "ä"] {
            assert!(text.parse::<QueueSet>().unwrap_err().contains("archive,reports"), "{text}");
        }
    }
}
