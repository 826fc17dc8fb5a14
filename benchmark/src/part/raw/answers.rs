//! The answers of a work server, cut out of the bytes that came.

use anyhow::{Context, bail};
use memchr::{memchr, memmem};

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// `+OK`
    Done,
    /// A job, or the object of the refused jobs of a PUSHB.
    Bulk(&'a [u8]),
}

/// The first answer of the input with its length in bytes; `None` where it has not arrived as a
/// whole. An error for an answer that a raw load does not expect.
pub(super) fn first(input: &[u8]) -> anyhow::Result<Option<(Answer<'_>, usize)>> {
    let Some(end) = memchr(b'\n', input) else { return Ok(None) };
    let line = input.get(..end).unwrap_or_default().trim_ascii_end();
    match line.split_first() {
        Some((b'+', b"OK")) => Ok(Some((Answer::Done, end + 1))),
        Some((b'$', b"-1")) => bail!("the queue has run dry"),
        Some((b'$', length)) => {
            let length: usize = std::str::from_utf8(length)?.parse().context("no length")?;
            let begin = end + 1;
            let whole = begin + length + 2;
            let is_there = input.len() >= whole;
            let bulk = input.get(begin..begin + length).filter(|_| is_there);
            Ok(bulk.map(|bulk| (Answer::Bulk(bulk), whole)))
        }
        _ => bail!("the work server answered {}", String::from_utf8_lossy(line)),
    }
}

/// The id of a job, without parsing the rest of it.
pub(super) fn id(job: &[u8]) -> anyhow::Result<&[u8]> {
    const NAME: &[u8] = b"\"jid\":\"";
    let begin = memmem::find(job, NAME).context("a job without an id")? + NAME.len();
    let rest = job.get(begin..).unwrap_or_default();
    let length = memchr(b'"', rest).context("an id without an end")?;
    Ok(rest.get(..length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_cut_out_once_they_are_whole() {
        let input = b"+OK\r\n$2\r\n{}\r\n+OK\r\n";
        assert_eq!(first(input).unwrap(), Some((Answer::Done, 5)));
        assert_eq!(first(&input[5..]).unwrap(), Some((Answer::Bulk(b"{}"), 8)));
        for length in 0..8 {
            assert_eq!(first(&input[5..5 + length]).unwrap(), None, "{length}");
        }
    }

    #[test]
    fn an_error_and_an_empty_queue_are_told() {
        let told = |input: &[u8]| first(input).unwrap_err().to_string();
        assert_eq!(told(b"-ERR full\r\n"), "the work server answered -ERR full");
        assert_eq!(told(b"$-1\r\n"), "the queue has run dry");
    }

    #[test]
    fn a_job_is_known_by_its_id() {
        assert_eq!(id(br#"{"queue":"a","jid":"abc","args":[]}"#).unwrap(), b"abc");
        assert!(id(b"{}").is_err());
    }
}
