//! The ledger of an ack lane: the reports that the work server has not acknowledged, by number. No
//! I/O; time comes in as an argument. What an answer means for one report is in `reporting`.

use std::collections::BTreeMap;

use faktory_link::Lost;
use faktory_wire::{Abilities, Reply};
use tokio::time::Instant;

use crate::reporting::{PendingReport, Verdict};

/// The reports of one ack lane that are not settled, in the order in which the jobs ended.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    unsettled: BTreeMap<u64, PendingReport>,
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
    /// How many lines the report has, and so how many answers.
    lines: usize,
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
        self.unsettled.insert(self.last_number, report);
    }

    /// The numbers of all reports.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.unsettled.keys().copied().collect()
    }

    /// The ids of the jobs that are done, as far as their reports are not settled.
    pub(super) fn done(&self) -> impl Iterator<Item = &str> {
        self.unsettled.values().filter(|report| report.is_done()).map(PendingReport::jid)
    }

    /// Reports that go out now, to a server that can do this, as far as they may still be sent.
    pub(super) fn send(
        &mut self,
        numbers: impl Iterator<Item = u64>,
        server: Abilities,
        now: Instant,
    ) -> Outgoing {
        let count = numbers.size_hint().0;
        let mut outgoing = Outgoing {
            sent: Vec::with_capacity(count),
            lines: Vec::with_capacity(count),
            given_up: Vec::new(),
        };
        for number in numbers {
            let Some(report) = self.unsettled.get_mut(&number) else { continue };
            if report.may_be_sent_to(server, now) {
                report.goes_out(server, now);
                let lines = report.append_lines(&mut outgoing.lines);
                outgoing.sent.push(SentReport { number, lines });
            } else {
                outgoing.given_up.extend(self.unsettled.remove(&number));
            }
        }
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
        for SentReport { number, lines } in sent {
            let (of_this, rest) = answers.split_at_checked(*lines).unwrap_or((answers, &[]));
            answers = rest;
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
        over.into_iter().filter_map(|number| self.unsettled.remove(&number)).collect()
    }

    /// Takes out the oldest report, with its number, for another lane.
    pub(super) fn take_first(&mut self) -> Option<(u64, PendingReport)> {
        self.unsettled.pop_first()
    }

    /// Puts a report back that the other lane did not take.
    pub(super) fn put_back(&mut self, number: u64, report: PendingReport) {
        self.unsettled.insert(number, report);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use faktory_link::LinkError;

    use super::*;
    use crate::outcome::Failure;
    use crate::reporting::{Ending, Finished, Reservation};

    const RESERVED: Duration = Duration::from_secs(60);

    fn endings() -> [Ending; 4] {
        [
            Ending::Done,
            Ending::Failed(Failure::new("k", "m")),
            Ending::FailedForGood(Failure::new("k", "m")),
            Ending::Snooze(Box::default(), Duration::ZERO),
        ]
    }

    /// A ledger with a report of each kind, numbered from 1 on.
    fn ledger(now: Instant) -> Ledger {
        let mut ledger = Ledger::default();
        for (index, ending) in endings().into_iter().enumerate() {
            let reservation =
                Reservation { jid: format!("job-{index}"), number: Some(7), until: now + RESERVED };
            ledger.add(Finished { reservation, ending, at: now }.into());
        }
        ledger
    }

    fn send_all(ledger: &mut Ledger, now: Instant) -> Outgoing {
        ledger.send(ledger.numbers().into_iter(), Abilities::default(), now)
    }

    fn numbers(sent: &[SentReport]) -> Vec<u64> {
        sent.iter().map(|sent| sent.number).collect()
    }

    fn ok() -> Result<Reply, Lost> {
        Ok(Reply::OK)
    }

    fn taken() -> Result<Reply, Lost> {
        Ok(Reply::Bulk("{}".into()))
    }

    fn error(text: &str) -> Result<Reply, Lost> {
        Ok(Reply::Error(text.into()))
    }

    fn lost(sent: bool) -> Result<Reply, Lost> {
        Err(Lost { sent, cause: Arc::new(LinkError::ClosedHere) })
    }

    #[test]
    fn each_report_goes_out_with_its_lines_in_the_order_in_which_the_jobs_ended() {
        let now = Instant::now();
        let mut ledger = ledger(now);
        assert_eq!((ledger.len(), ledger.next_number()), (4, 5));
        let outgoing = send_all(&mut ledger, now);
        let lines = [1, 1, 2, 2];
        let sent = |(index, lines)| SentReport { number: index as u64 + 1, lines };
        assert_eq!(outgoing.sent, lines.into_iter().enumerate().map(sent).collect::<Vec<_>>());
        let verb = |line: &Vec<u8>| String::from_utf8_lossy(line).split(' ').next().map(Into::into);
        let verbs: Vec<String> = outgoing.lines.iter().filter_map(verb).collect();
        assert_eq!(verbs, ["ACK", "FAIL", "FAIL", "MUTATE", "PUSHB", "ACK"]);
        assert!(outgoing.given_up.is_empty());
        assert_eq!(ledger.done().collect::<Vec<_>>(), ["job-0"]);
    }

    #[test]
    fn answers_settle_reports_or_have_them_sent_again_now_or_over_the_next_connection() {
        let busy = || error("ERR shutdown in progress");
        for (what, answers, settled, again, next) in [
            (
                "all is taken",
                [ok(), ok(), ok(), ok(), taken(), ok()],
                vec!["job-0", "job-1", "job-2", "job-3"],
                vec![],
                vec![],
            ),
            (
                "all is refused",
                [busy(), busy(), busy(), busy(), busy(), busy()],
                vec![],
                vec![1, 2, 3, 4],
                vec![1, 2, 3, 4],
            ),
            (
                "the connection breaks before anything has left",
                [lost(false), lost(false), lost(false), lost(false), lost(false), lost(false)],
                vec![],
                vec![],
                vec![1, 2, 3, 4],
            ),
            (
                // The push may have been carried out, so it is not sent again.
                "the connection breaks after everything has left",
                [lost(true), lost(true), lost(true), lost(true), lost(true), lost(true)],
                vec![],
                vec![],
                vec![1, 2, 3],
            ),
            (
                "the connection breaks within the lines of a report",
                [ok(), ok(), ok(), lost(true), taken(), lost(false)],
                vec!["job-0", "job-1"],
                vec![],
                vec![3, 4],
            ),
            (
                "one job is unknown, another report is refused",
                [ok(), error("ERR Job not found job-1"), busy(), ok(), taken(), ok()],
                vec!["job-0", "job-1", "job-3"],
                vec![3],
                vec![3],
            ),
        ] {
            let now = Instant::now();
            let mut ledger = ledger(now);
            let sent = send_all(&mut ledger, now).sent;
            let mut seen = Vec::new();
            let sent_again =
                ledger.settle(&sent, &answers, now, |report| seen.push(report.jid().to_owned()));
            assert_eq!(seen, settled, "{what}");
            assert_eq!(sent_again, again, "{what}");
            assert_eq!(numbers(&send_all(&mut ledger, now).sent), next, "{what}");
        }
    }

    #[test]
    fn a_report_that_may_no_longer_be_sent_is_given_up() {
        let now = Instant::now();
        let jids = |given_up: &[PendingReport]| {
            given_up.iter().map(|report| report.jid().to_owned()).collect::<Vec<_>>()
        };
        let all = ["job-0", "job-1", "job-2", "job-3"];
        let mut waiting = ledger(now);
        assert!(waiting.give_up(now).is_empty());
        assert_eq!(jids(&waiting.give_up(now + RESERVED)), all);
        assert!(waiting.is_empty());

        let mut sending = ledger(now);
        let outgoing = send_all(&mut sending, now + RESERVED);
        assert_eq!(jids(&outgoing.given_up), all);
        assert!(sending.is_empty() && outgoing.sent.is_empty() && outgoing.lines.is_empty());

        // A FAIL and a push that may have arrived are given up before the reservation is over.
        let mut sent = ledger(now);
        send_all(&mut sent, now);
        assert_eq!(jids(&sent.give_up(now + Duration::from_secs(11))), &all[1..]);
        assert_eq!(sent.numbers(), [1]);
    }

    #[test]
    fn reports_are_handed_over_from_the_oldest_on_and_keep_their_number_where_they_are_not_taken() {
        let mut ledger = ledger(Instant::now());
        let (number, report) = ledger.take_first().unwrap();
        assert_eq!((number, report.jid(), ledger.numbers()), (1, "job-0", vec![2, 3, 4]));
        ledger.put_back(number, report);
        assert_eq!(ledger.numbers(), [1, 2, 3, 4]);
        assert_eq!(ledger.next_number(), 5);
    }

    #[test]
    fn the_answer_to_a_report_that_is_gone_changes_nothing() {
        let now = Instant::now();
        let mut ledger = ledger(now);
        let sent = send_all(&mut ledger, now).sent;
        while ledger.take_first().is_some() {}
        let answers = [ok(), ok(), ok(), ok(), taken(), ok()];
        let again = ledger.settle(&sent, &answers, now, |report| panic!("{report:?}"));
        assert!(again.is_empty() && ledger.is_empty());
    }
}
