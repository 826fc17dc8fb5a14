//! Reports of each kind, sent to servers that answer them in each way.

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
fn jobs_that_are_done_go_out_together_in_front_and_share_an_answer() {
    let now = Instant::now();
    let ours = Abilities { once: 0, requeue: true, many: true };
    for (answer, settled) in [(ok(), 3), (error("ERR shutdown in progress"), 0)] {
        let mut ledger = Ledger::default();
        let done = [(0, Some(7)), (1, Some(8)), (2, None), (3, Some(9))];
        let failed = [(4, Some(10))];
        for ((index, number), ending) in done
            .map(|job| (job, Ending::Done))
            .into_iter()
            .chain(failed.map(|job| (job, Ending::Failed(Failure::new("k", "m")))))
        {
            let jid = format!("job-{index}");
            let reservation = Reservation { jid, number, until: now + RESERVED };
            ledger.add(Finished { reservation, ending, at: now }.into());
        }
        let outgoing = ledger.send(ledger.numbers().into_iter(), ours, now);
        assert_eq!(numbers(&outgoing.sent), [1, 2, 4, 3, 5]);
        let lines: Vec<_> =
            outgoing.lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
        assert_eq!(lines[0], "WF ACK {\"jobs\":[[\"job-0\",7],[\"job-1\",8],[\"job-3\",9]]}\r\n");
        assert!(lines[1].starts_with("ACK ") && lines[2].starts_with("FAIL "), "{lines:?}");
        let (mut seen, answers) = (0, [answer, ok(), ok()]);
        let again = ledger.settle(&outgoing.sent, &answers, now, |_| seen += 1);
        assert_eq!(seen, settled + 2);
        assert_eq!(again, if settled > 0 { vec![] } else { vec![1, 2, 4] });
        assert_eq!(ledger.len(), 3 - settled);
    }
}

#[test]
fn a_line_for_many_jobs_is_bounded_in_bytes_and_each_has_its_own_answer() {
    let now = Instant::now();
    let ours = Abilities { many: true, ..Abilities::default() };
    let mut ledger = Ledger::default();
    for index in 0..60 {
        let jid = format!("{index:01000}");
        let reservation = Reservation { jid, number: Some(index), until: now + RESERVED };
        ledger.add(Finished { reservation, ending: Ending::Done, at: now }.into());
    }
    let outgoing = ledger.send(ledger.numbers().into_iter(), ours, now);
    assert_eq!(outgoing.lines.len(), 2);
    assert!(outgoing.lines.iter().all(|line| line.len() < ACK_LINE_BYTES + 100));
    let mut seen = Vec::new();
    let answers = [ok(), lost(true)];
    ledger.settle(&outgoing.sent, &answers, now, |report| seen.push(report.jid().to_owned()));
    assert_eq!((seen.len() + ledger.len(), ledger.numbers().last()), (60, Some(&60)));
    assert!((30..40).contains(&seen.len()), "{}", seen.len());
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
