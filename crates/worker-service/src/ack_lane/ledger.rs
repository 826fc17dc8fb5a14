//! The ledger of an ack lane: the reports that the work server has not acknowledged, by number. No
//! I/O; time comes in as an argument. What an answer means for one report is in `reporting`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use faktory_link::Lost;
use faktory_wire::{Abilities, AckLine, Reply};
use tokio::time::Instant;

use crate::reporting::{PendingReport, Verdict};

/// The reports of one ack lane that are not settled, in the order in which the jobs ended.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Boxed, because a map moves its values where one is taken out.
    unsettled: BTreeMap<u64, Box<PendingReport>>,
    last_number: u64,
}

/// Reports that go out in one write.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) sent: Vec<SentReport>,
    pub(super) lines: Vec<Vec<u8>>,
    /// Reports that may no longer be sent, taken out of the ledger.
    pub(super) given_up: Vec<PendingReport>,
}

/// A report that has gone out, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SentReport {
    number: u64,
    /// How many lines the report has, and so how many answers; none where it stands in one line
    /// with the report before it, whose answer is also its own.
    lines: usize,
}

/// The bytes of a line that ends many jobs, but where one id is longer: far less than a work server
/// gives a connection for its commands.
const ACK_LINE_BYTES: usize = 32 << 10;

/// The reports that jobs are done, many in a line.
#[derive(Debug, Default)]
struct Acks {
    lines: Vec<Vec<u8>>,
    next: Option<AckLine>,
    sent: Vec<SentReport>,
}

impl Acks {
    /// Adds the report of this number.
    fn add(&mut self, number: u64, (jid, reservation): (&str, u64)) {
        match &mut self.next {
            Some(line) if !line.is_full(jid, ACK_LINE_BYTES) => {
                line.add(jid, reservation);
                self.sent.push(SentReport { number, lines: 0 });
            }
            next => {
                let full = next.replace(AckLine::new(jid, reservation));
                self.lines.extend(full.map(AckLine::finish));
                self.sent.push(SentReport { number, lines: 1 });
            }
        }
    }

    /// Puts the lines in front of those that go out with them.
    fn put_before(mut self, outgoing: &mut Outgoing) {
        self.lines.extend(self.next.map(AckLine::finish));
        self.lines.append(&mut outgoing.lines);
        self.sent.append(&mut outgoing.sent);
        (outgoing.lines, outgoing.sent) = (self.lines, self.sent);
    }
}

impl Ledger {
    pub(super) fn is_empty(&self) -> bool {
        self.unsettled.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.unsettled.len()
    }

    /// The number that the next report gets.
    pub(super) const fn next_number(&self) -> u64 {
        self.last_number + 1
    }

    /// Takes a report in, under the next number.
    pub(super) fn add(&mut self, report: PendingReport) {
        self.last_number += 1;
        self.unsettled.insert(self.last_number, Box::new(report));
    }

    /// The numbers of all reports.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.unsettled.keys().copied().collect()
    }

    /// The ids of the jobs that are done, as far as their reports are not settled.
    pub(super) fn done(&self) -> impl Iterator<Item = &str> {
        self.unsettled.values().filter(|report| report.is_done()).map(|report| report.jid())
    }

    /// Reports that go out now, to a server that can do this, as far as they may still be sent.
    pub(super) fn send(
        &mut self,
        numbers: impl Iterator<Item = u64>,
        server: Abilities,
        now: Instant,
    ) -> Outgoing {
        let mut outgoing = Outgoing::default();
        let mut acks = Acks::default();
        for number in numbers {
            let Some(report) = self.unsettled.get_mut(&number) else { continue };
            if let Some(done) = report.done().filter(|_| server.many && report.may_be_sent(now)) {
                acks.add(number, done);
            } else if report.may_be_sent_to(server, now) {
                report.goes_out(server, now);
                let lines = report.append_lines(&mut outgoing.lines);
                outgoing.sent.push(SentReport { number, lines });
            } else {
                outgoing.given_up.extend(self.unsettled.remove(&number).map(|report| *report));
            }
        }
        acks.put_before(&mut outgoing);
        outgoing
    }

    /// Notes the answers to reports that went out together. `on_settled` gets each report that is
    /// settled, taken out of the ledger. Returns the numbers of the reports that are to be sent
    /// again.
    pub(super) fn settle(
        &mut self,
        sent: &[SentReport],
        mut answers: &[Result<Reply, Lost>],
        now: Instant,
        mut on_settled: impl FnMut(&PendingReport),
    ) -> Vec<u64> {
        let mut again = Vec::new();
        let mut of_this: &[_] = &[];
        for SentReport { number, lines } in sent {
            if *lines > 0 {
                (of_this, answers) = answers.split_at_checked(*lines).unwrap_or((answers, &[]));
            }
            let Some(report) = self.unsettled.get_mut(number) else { continue };
            match report.settle(of_this, now) {
                Verdict::Settled | Verdict::PushGivenUp => {
                    if let Some(report) = self.unsettled.remove(number) {
                        on_settled(&report);
                    }
                }
                Verdict::SendAgain => again.push(*number),
                Verdict::NextConnection => {}
            }
        }
        again
    }

    /// Takes out the reports that would no longer be about this worker's own runs.
    pub(super) fn give_up(&mut self, now: Instant) -> Vec<PendingReport> {
        let over = self.unsettled.iter().filter(|(_, report)| !report.may_be_sent(now));
        let over: Vec<u64> = over.map(|(number, _)| *number).collect();
        over.into_iter()
            .filter_map(|number| self.unsettled.remove(&number).map(|report| *report))
            .collect()
    }

    /// Takes out the oldest report, with its number, for another lane.
    pub(super) fn take_first(&mut self) -> Option<(u64, PendingReport)> {
        self.unsettled.pop_first().map(|(number, report)| (number, *report))
    }

    /// Puts a report back that the other lane did not take.
    pub(super) fn put_back(&mut self, number: u64, report: PendingReport) {
        self.unsettled.insert(number, Box::new(report));
    }
}
