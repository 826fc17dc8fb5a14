//! The glob patterns of Redis, which MUTATE calls `regexp`: `*`, `?`, `[abc]`, `[^a-z]`, `\x`.
//!
//! A pattern becomes an automaton whose states are bits: bit `n` is set while the first `n` tokens
//! of the pattern match what has been read. Each byte of a text costs the same, whatever the
//! pattern and the text are: one operation for every 64 tokens. So the number of stars needs no
//! bound, and a match can stop at any byte and go on later.

/// The bits of a word.
const BITS: usize = u64::BITS as usize;

/// A pattern, ready to be matched.
#[derive(Debug)]
pub(super) struct Glob {
    /// The number of words that hold all states.
    words: usize,
    /// For each byte, `words` words: bit `n` is set where token `n` accepts the byte.
    accepts: Vec<u64>,
    /// Bit `n` is set where a star stands behind the first `n` tokens.
    stars: Vec<u64>,
    /// The number of tokens, which is the state of a whole match.
    tokens: usize,
}

/// How far the match of a text has come.
#[derive(Debug)]
pub(super) struct Progress {
    states: Vec<u64>,
    at: usize,
}

impl Glob {
    pub(super) fn new(pattern: &[u8]) -> Self {
        // No pattern has more tokens than bytes.
        let words = pattern.len() / BITS + 1;
        let mut glob =
            Self { words, accepts: vec![0; 256 * words], stars: vec![0; words], tokens: 0 };
        let mut p = 0;
        while let Some(first) = pattern.get(p) {
            if *first == b'*' {
                set(&mut glob.stars, glob.tokens);
                p += 1;
                continue;
            }
            let mut next = p + 1;
            for byte in 0..=u8::MAX {
                let (accepted, behind) = match_one(pattern, p, byte);
                next = behind;
                if accepted && let Some(row) = glob.accepts.chunks_mut(words).nth(byte.into()) {
                    set(row, glob.tokens);
                }
            }
            glob.tokens += 1;
            p = next;
        }
        glob
    }

    /// A match that has read nothing yet.
    pub(super) fn begin(&self) -> Progress {
        let mut states = vec![0; self.words];
        set(&mut states, 0);
        Progress { states, at: 0 }
    }

    /// What one byte of a text costs.
    pub(super) const fn cost_of_byte(&self) -> usize {
        self.words
    }

    /// Reads up to `most` more bytes of a text, which is given in parts, the same each time; the
    /// result is known where it is not `None`.
    pub(super) fn go_on(
        &self,
        progress: &mut Progress,
        text: [&[u8]; 2],
        most: usize,
    ) -> Option<bool> {
        let length: usize = text.iter().map(|part| part.len()).sum();
        let (from, to) = (progress.at, length.min(progress.at.saturating_add(most)));
        progress.at = to;
        let mut before = 0;
        for part in text {
            let within = |at: usize| at.saturating_sub(before).min(part.len());
            let bytes = part.get(within(from)..within(to)).unwrap_or_default();
            if !self.read(&mut progress.states, bytes) {
                return Some(false);
            }
            before += part.len();
        }
        let whole = is_set(&progress.states, self.tokens);
        // With a star at its end, the pattern matches whatever follows.
        let decided = to == length || whole && is_set(&self.stars, self.tokens);
        decided.then_some(whole)
    }

    /// Reads bytes; false where no state is left.
    fn read(&self, states: &mut [u64], bytes: &[u8]) -> bool {
        for byte in bytes {
            let from = usize::from(*byte) * self.words;
            let accepts = self.accepts.get(from..from + self.words).unwrap_or_default();
            let (mut carry, mut any) = (0, 0);
            let rows = accepts.iter().zip(&self.stars);
            for (states, (accepts, stars)) in states.iter_mut().zip(rows) {
                let moved = *states & accepts;
                *states = (moved << 1) | carry | (*states & stars);
                carry = moved >> (BITS - 1);
                any |= *states;
            }
            if any == 0 {
                return false;
            }
        }
        true
    }
}

impl Progress {
    /// The bytes that have been read.
    pub(super) const fn at(&self) -> usize {
        self.at
    }
}

fn set(words: &mut [u64], bit: usize) {
    if let Some(word) = words.get_mut(bit / BITS) {
        *word |= 1 << (bit % BITS);
    }
}

fn is_set(words: &[u64], bit: usize) -> bool {
    words.get(bit / BITS).is_some_and(|word| word >> (bit % BITS) & 1 == 1)
}

/// True where the token at `p` accepts a byte, and the index at which the pattern goes on.
fn match_one(pattern: &[u8], p: usize, byte: u8) -> (bool, usize) {
    match pattern.get(p).copied().unwrap_or_default() {
        b'?' => (true, p + 1),
        b'\\' => match pattern.get(p + 1) {
            Some(escaped) => (*escaped == byte, p + 2),
            None => (byte == b'\\', p + 1),
        },
        b'[' => match_class(pattern, p + 1, byte),
        literal => (literal == byte, p + 1),
    }
}

/// The same for a class whose first character is at `p`.
fn match_class(pattern: &[u8], mut p: usize, byte: u8) -> (bool, usize) {
    let negated = pattern.get(p) == Some(&b'^');
    p += usize::from(negated);
    let mut found = false;
    loop {
        match (pattern.get(p), pattern.get(p + 1), pattern.get(p + 2)) {
            // A class without a closing bracket ends with the pattern.
            (None, ..) => break,
            (Some(b']'), ..) => {
                p += 1;
                break;
            }
            (Some(b'\\'), Some(escaped), _) => {
                found |= *escaped == byte;
                p += 2;
            }
            (Some(from), Some(b'-'), Some(to)) if *to != b']' => {
                found |= (*from.min(to)..=*from.max(to)).contains(&byte);
                p += 3;
            }
            (Some(literal), ..) => {
                found |= *literal == byte;
                p += 1;
            }
        }
    }
    (found != negated, p)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str, step: usize) -> bool {
        let glob = Glob::new(pattern.as_bytes());
        let mut progress = glob.begin();
        loop {
            let (first, second) = text.as_bytes().split_at(text.len() / 3);
            if let Some(result) = glob.go_on(&mut progress, [first, second], step) {
                return result;
            }
        }
    }

    #[test]
    fn patterns_match_as_in_redis_wherever_the_match_stops_in_between() {
        let long = "x".repeat(100);
        for (pattern, text, expected) in [
            ("*fig*", r#"{"args":["fig"]}"#, true),
            ("fig", r#"{"args":["fig"]}"#, false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a[bx]c", "abc", true),
            ("a[^bx]c", "abc", false),
            ("a[a-f]c", "aec", true),
            ("a[f-a]c", "aec", true),
            ("a\\*c", "a*c", true),
            ("a\\*c", "abc", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c*", "xxaxxcxxbxx", false),
            ("**a", "xa", true),
            ("a*", "a", true),
            ("*ab", "aab", true),
            ("*ab", "abx", false),
            ("[", "[", false),
            ("\\", "\\", true),
            (&format!("*{long}y"), &format!("x{long}y"), true),
            (&format!("{long}*{long}"), &format!("{long}{long}"), true),
            (&format!("{long}*{long}"), &format!("{long}x"), false),
        ] {
            for step in [1, 3, 64, 1000] {
                assert_eq!(matches(pattern, text, step), expected, "{pattern} on {text}");
            }
        }
    }

    #[test]
    fn a_byte_costs_one_operation_for_64_tokens_whatever_the_pattern_is() {
        for (pattern, cost) in
            [("*a".repeat(31), 1), ("*a".repeat(511), 16), ("a".repeat(1024), 17)]
        {
            assert_eq!(Glob::new(pattern.as_bytes()).cost_of_byte(), cost);
        }
        let pattern = "*a".repeat(500) + "b";
        assert!(!matches(&pattern, &"a".repeat(50_000), 1000));
    }
}
