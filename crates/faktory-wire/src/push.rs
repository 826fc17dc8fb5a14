//! PUSHB: its line, and the map that answers it. The meaning of the texts in the map is in
//! `refusal.rs`.

use std::collections::HashMap;

use crate::job::Job;
use crate::raw_json::push_on_one_line;

/// The answer to a PUSHB: the jobs that were refused, each with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushResults {
    refused: HashMap<String, String>,
}

impl PushResults {
    /// Reads the body of the answer.
    ///
    /// # Errors
    /// Where the body is no map of texts.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(Self { refused: serde_json::from_slice(body)? })
    }

    /// The reason why the server refused a job; `None` for a job that it took.
    #[must_use]
    pub fn refused(&self, jid: &str) -> Option<&str> {
        self.refused.get(jid).map(String::as_str)
    }

    /// True where the server took every job.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.refused.is_empty()
    }
}

/// Appends a PUSHB. Each job is given as JSON, so that nothing is encoded twice. LF and CR are left
/// out: in valid JSON both can only be white space between tokens, and on the wire they would begin
/// another command.
pub fn encode_pushb<'a>(jobs: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"PUSHB ");
    push_jobs(jobs, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the array of the jobs of a push.
pub(crate) fn push_jobs<'a>(jobs: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, job) in jobs.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_on_one_line(job, out);
    }
    out.push(b']');
}

/// The jobs of a push as they stand in it, each for itself.
pub(crate) fn encoded(jobs: &[Job]) -> Vec<Vec<u8>> {
    let encoded = |job: &Job| {
        let mut json = Vec::with_capacity(job.encoded_bytes());
        job.encode(&mut json);
        json
    };
    jobs.iter().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_looked_up_by_job() {
        let results =
            PushResults::parse(br#"{"job-1":"jobs must have an args parameter"}"#).unwrap();
        assert_eq!(results.refused("job-1"), Some("jobs must have an args parameter"));
        assert_eq!(results.refused("job-2"), None);
        assert!(PushResults::parse(b"[]").is_err());
    }
}
