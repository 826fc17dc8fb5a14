//! The set of seen jobs, by their numbers.

/// A set of numbers from 0 on, which also counts repeated numbers.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    bits: Vec<u64>,
    distinct: u64,
    all: u64,
}

/// The limit of the benchmark's numbers: a number from here on is of another client's job.
const NUMBER_MAX: u64 = 1 << 32;

impl Seen {
    /// Notes a number.
    pub(crate) fn note(&mut self, number: u64) {
        self.all += 1;
        if number >= NUMBER_MAX {
            return;
        }
        let (word, bit) = ((number / 64) as usize, 1_u64 << (number % 64));
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        if let Some(word) = self.bits.get_mut(word)
            && *word & bit == 0
        {
            *word |= bit;
            self.distinct += 1;
        }
    }

    /// The number of different noted numbers.
    pub(crate) const fn distinct(&self) -> u64 {
        self.distinct
    }

    /// The number of notes, repeated numbers included.
    pub(crate) const fn all(&self) -> u64 {
        self.all
    }
}

/// The number of a job: its first argument.
pub(crate) fn number_of(args: &str) -> Option<u64> {
    let args: Vec<serde_json::Value> = serde_json::from_str(args).ok()?;
    args.first()?.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_noted_twice_counts_once_among_the_different_numbers() {
        let mut seen = Seen::default();
        for number in [0, 63, 64, 1000, 63] {
            seen.note(number);
        }
        assert_eq!((seen.distinct(), seen.all()), (4, 5));
        assert_eq!(number_of("[12,1]"), Some(12));
        assert_eq!(number_of("[12.0,1]"), Some(12));
        assert_eq!(number_of(r#"["a"]"#), None);
    }
}
