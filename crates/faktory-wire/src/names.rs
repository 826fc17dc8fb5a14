//! Names of queues in a command, in a bounded number.

use crate::word::{NotAWord, Word};

/// The most names of queues in one FETCH. Faktory has no such bound; clients name some dozens.
pub const FETCH_NAMES_MAX: usize = 1_000;

/// The words that are not empty; `None` where there are more than `max`.
pub(crate) fn names<'a>(
    words: impl Iterator<Item = &'a str>,
    max: usize,
) -> Result<Option<Vec<Word>>, NotAWord> {
    let mut names = Vec::new();
    for word in words.filter(|word| !word.is_empty()) {
        if names.len() == max {
            return Ok(None);
        }
        names.push(Word::new(word)?);
    }
    Ok(Some(names))
}
