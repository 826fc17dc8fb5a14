//! The answers to the lines of a report, told apart by their consequences. The consequences are in
//! `transition.rs`.

use faktory_link::Lost;
use faktory_wire::{PushResults, Refusal, Reply, ReportRefusal};

/// The answer to the ACK or FAIL of a run that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndAnswer {
    /// The report was carried out.
    Taken,
    /// The work server waits for no report of this job, or can't read the report.
    Useless,
    /// The report was not carried out; later it may be.
    Refused,
    /// An error that does not tell whether the report was carried out.
    Unclear,
    /// A reply that does not fit the command.
    Odd,
    /// The report was sent, and no answer came.
    Lost,
    /// The report did not leave this machine.
    NotSent,
}

/// The answer to the MUTATE after the FAIL of a job that failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KillAnswer {
    /// The report has no MUTATE.
    NotAsked,
    Answered,
    /// No answer came, whether the MUTATE was sent or not.
    Missing,
}

/// The answer to the push of a job that is requeued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PushAnswer {
    /// The work server has the copy.
    Taken,
    /// The work server does not have the copy.
    Refused,
    /// An answer that does not tell whether the work server has the copy.
    Unclear,
    /// The push was sent, and no answer came.
    Lost,
    /// The push did not leave this machine.
    NotSent,
}

/// The answer to the ACK of a job that is requeued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AckAnswer {
    Taken,
    Refused,
    /// A reply that does not fit the command.
    Odd,
    /// The ACK was sent, and no answer came.
    Lost,
    /// The ACK did not leave this machine.
    NotSent,
}

impl EndAnswer {
    pub(super) fn of(answer: &Result<Reply, Lost>) -> Self {
        match answer {
            Ok(Reply::Simple(_)) => Self::Taken,
            Ok(Reply::Error(text)) => match ReportRefusal::of(text) {
                ReportRefusal::JobUnknown | ReportRefusal::Unreadable => Self::Useless,
                ReportRefusal::Other(Refusal::Job | Refusal::WholePush | Refusal::Server) => {
                    Self::Refused
                }
                ReportRefusal::Other(Refusal::Unknown) | ReportRefusal::WorkerUnknown => {
                    Self::Unclear
                }
            },
            Ok(Reply::Bulk(_) | Reply::Nothing) => Self::Odd,
            Err(lost) if lost.sent => Self::Lost,
            Err(_) => Self::NotSent,
        }
    }
}

impl KillAnswer {
    pub(super) const fn of(answer: Option<&Result<Reply, Lost>>) -> Self {
        match answer {
            None => Self::NotAsked,
            Some(Ok(_)) => Self::Answered,
            Some(Err(_)) => Self::Missing,
        }
    }
}

impl PushAnswer {
    /// With the text of the answer, for the log; empty where the job was taken.
    pub(super) fn of(answer: &Result<Reply, Lost>, jid: &str) -> (Self, String) {
        let refusal = match answer {
            Ok(Reply::Bulk(body)) => match PushResults::parse(body) {
                Ok(results) => match results.refused(jid) {
                    None => return (Self::Taken, String::new()),
                    Some(why) => why.to_owned(),
                },
                Err(error) => return (Self::Unclear, error.to_string()),
            },
            Ok(Reply::Error(text)) => text.clone(),
            Ok(other @ (Reply::Simple(_) | Reply::Nothing)) => {
                return (Self::Unclear, format!("{other:?}"));
            }
            Err(lost) if lost.sent => return (Self::Lost, lost.to_string()),
            Err(lost) => return (Self::NotSent, lost.to_string()),
        };
        match Refusal::of(&refusal) {
            Refusal::Unknown => (Self::Unclear, refusal),
            Refusal::Job | Refusal::WholePush | Refusal::Server => (Self::Refused, refusal),
        }
    }
}

impl AckAnswer {
    pub(super) fn of(answer: &Result<Reply, Lost>) -> Self {
        match answer {
            Ok(Reply::Simple(_)) => Self::Taken,
            Ok(Reply::Error(_)) => Self::Refused,
            Ok(Reply::Bulk(_) | Reply::Nothing) => Self::Odd,
            Err(lost) if lost.sent => Self::Lost,
            Err(_) => Self::NotSent,
        }
    }
}
