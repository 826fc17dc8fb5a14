//! The meaning of an error text that a work server sends to a worker: in answer to ACK, FAIL or
//! BEAT. Error texts in answer to a push are in `refusal.rs`.

use crate::refusal::Refusal;

/// A work server's refusal of a worker's report, read from its text (the wire has nothing better).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReportRefusal {
    /// FAIL: the server knows no reservation of the job. The job has been acknowledged or failed
    /// already, or its reservation is over.
    JobUnknown,
    /// ACK or FAIL: the server can't read the report and never will.
    Unreadable,
    /// BEAT: the server knows no worker of this id.
    WorkerUnknown,
    /// The text is about none of these: what it means for any other command.
    Other(Refusal),
}

/// The server found no reservation of the job.
const JOB_UNKNOWN: &str = "Job not found";
/// The server could not read the report.
const UNREADABLE: [&str; 3] = ["invalid ACK", "invalid FAIL", "missing JID"];
/// The server has removed the worker, or has been restarted.
const WORKER_UNKNOWN: &str = "unknown worker";

impl ReportRefusal {
    /// Tells what an error text means, with or without its leading `ERR `.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if text.contains(JOB_UNKNOWN) {
            Self::JobUnknown
        } else if UNREADABLE.iter().any(|sign| text.contains(sign)) {
            Self::Unreadable
        } else if text.contains(WORKER_UNKNOWN) {
            Self::WorkerUnknown
        } else {
            Self::Other(Refusal::of(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: &str = include_str!("../../testkit/transcripts/10-ack.txt");
    const FAIL: &str = include_str!("../../testkit/transcripts/11-fail.txt");
    const BEAT: &str = include_str!("../../testkit/transcripts/16-beat.txt");

    /// What Faktory refused in a recorded dialogue: the command's argument, and the error text.
    fn refused<'a>(dialogue: &'a str, verb: &str) -> Vec<(&'a str, ReportRefusal)> {
        let lines: Vec<&str> = dialogue.lines().collect();
        let sent = format!("A > {verb} ");
        let refused = lines.windows(2).filter_map(|pair| {
            let argument = pair[0].strip_prefix(&sent)?;
            Some((argument, ReportRefusal::of(pair[1].strip_prefix("A < -")?)))
        });
        refused.collect()
    }

    #[test]
    fn each_refusal_that_faktory_was_recorded_with_has_its_meaning() {
        assert_eq!(
            refused(ACK, "ACK"),
            [
                ("{}", ReportRefusal::Unreadable),
                (r#"{"jid":7}"#, ReportRefusal::Unreadable),
                (r#"{"jid":"job-00000001","x":1}"#, ReportRefusal::Unreadable),
                ("nonsense", ReportRefusal::Unreadable),
            ]
        );
        assert_eq!(
            refused(FAIL, "FAIL"),
            [
                (r#"{"jid":"job-00000003"}"#, ReportRefusal::JobUnknown),
                (r#"{"jid":"never-was-there","message":"x"}"#, ReportRefusal::JobUnknown),
                (r#"{"message":"x"}"#, ReportRefusal::Unreadable),
                ("{}", ReportRefusal::Unreadable),
                ("nonsense", ReportRefusal::Unreadable),
                (r#"{"jid":7}"#, ReportRefusal::Unreadable),
            ]
        );
        assert_eq!(
            refused(BEAT, "BEAT"),
            [(r#"{"wid":"stranger-01"}"#, ReportRefusal::WorkerUnknown)]
        );
    }

    #[test]
    fn a_refusal_for_another_reason_means_what_it_means_for_any_command() {
        for (text, meaning) in [
            ("MISCONF Redis is configured to save RDB snapshots", Refusal::Server),
            ("ERR shutdown in progress", Refusal::Server),
            ("ERR read unix @->/redis.sock: i/o timeout", Refusal::Unknown),
            ("ERR something never seen", Refusal::Unknown),
        ] {
            assert_eq!(ReportRefusal::of(text), ReportRefusal::Other(meaning), "{text}");
        }
    }
}
