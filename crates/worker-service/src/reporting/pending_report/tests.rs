use std::sync::Arc;

use super::*;

fn pending(ending: Ending, begun: Instant) -> PendingReport {
    let reservation = Reservation {
        jid: "job-00000001".into(),
        number: Some(7),
        until: begun + Duration::from_secs(1800),
    };
    Finished { reservation, ending, at: begun }.into()
}

fn sent(ending: Ending, begun: Instant) -> PendingReport {
    let mut report = pending(ending, begun);
    report.goes_out(Abilities::default(), begun);
    report
}

fn requeued(remaining: Remaining, begun: Instant) -> PendingReport {
    let report = Report::Requeue { job: Box::default(), after: None, remaining, pushes: 0 };
    PendingReport { report, ..pending(Ending::Done, begun) }
}

fn lines(report: &PendingReport) -> usize {
    report.append_lines(&mut Vec::new())
}

#[test]
fn a_report_that_would_be_about_another_run_is_not_sent_again() {
    let begun = Instant::now();
    let failed = || Ending::Failed(Failure::new("k", "m"));
    let failed_for_good = || Ending::FailedForGood(Failure::new("k", "m"));
    let after = |seconds| begun + Duration::from_secs(seconds);
    assert!(sent(failed(), begun).may_be_sent(after(9)));
    assert!(!sent(failed(), begun).may_be_sent(after(11)));
    assert!(!sent(failed_for_good(), begun).may_be_sent(after(11)));
    // A FAIL that was never sent, and an ACK: as long as the reservation lasts.
    assert!(pending(failed(), begun).may_be_sent(after(1799)));
    assert!(!pending(failed(), begun).may_be_sent(after(1801)));
    assert!(sent(Ending::Done, begun).may_be_sent(after(1799)));
    assert!(!sent(Ending::Done, begun).may_be_sent(after(1801)));
    // A push that may have arrived would make two jobs of one.
    let snooze = || Ending::Snooze(Box::default(), Duration::ZERO);
    assert!(pending(snooze(), begun).may_be_sent(after(1)));
    assert!(!sent(snooze(), begun).may_be_sent(after(1)));
    // Where the server has said that the push was not carried out, only the push is left.
    let push_only = requeued(Remaining::Push, begun);
    assert!(push_only.may_be_sent(after(1801)));
    assert_eq!(lines(&push_only), 1);
    let ack_only = requeued(Remaining::Ack { until: after(2) }, begun);
    assert!(ack_only.may_be_sent(after(1)) && !ack_only.may_be_sent(after(2)));
}

#[test]
fn each_ending_has_its_lines() {
    let begun = Instant::now();
    let text = |ending| {
        let mut lines = Vec::new();
        pending(ending, begun).append_lines(&mut lines);
        let verb = |line: &Vec<u8>| String::from_utf8_lossy(line).split(' ').next().map(Into::into);
        lines.iter().filter_map(verb).collect::<Vec<String>>()
    };
    assert_eq!(text(Ending::Done), ["ACK"]);
    assert_eq!(text(Ending::Failed(Failure::new("k", "m"))), ["FAIL"]);
    assert_eq!(text(Ending::FailedForGood(Failure::new("k", "m"))), ["FAIL", "MUTATE"]);
    assert_eq!(text(Ending::Snooze(Box::default(), Duration::MAX)), ["PUSHB", "ACK"]);
    assert_eq!(text(Ending::Requeued(Box::default())), ["PUSHB", "ACK"]);
}

#[test]
fn a_job_that_the_server_did_not_take_back_is_never_dropped() {
    let begun = Instant::now();
    let taken = || Ok(Reply::Bulk("{}".into()));
    let ok = || Ok(Reply::Simple("OK".into()));
    let refused = || Ok(Reply::Error("MISCONF no disk".into()));
    let unknown = || Ok(Reply::Error("context deadline exceeded".into()));
    let lost = |sent| Err(Lost { sent, cause: Arc::new(faktory_link::LinkError::ClosedHere) });
    let ack = Remaining::Ack { until: begun + DUE_IN_AT_LEAST - SEND_AGAIN_AFTER };
    let (both, in_doubt, nothing) = (Remaining::PushAndAck, Remaining::InDoubt, Remaining::Nothing);
    for (retry, push, ack_answer, verdict, remaining, may_be_sent) in [
        (3, taken(), ok(), Verdict::Settled, nothing, false),
        (3, refused(), refused(), Verdict::SendAgain, both, true),
        (3, refused(), ok(), Verdict::SendAgain, Remaining::Push, true),
        (3, refused(), lost(true), Verdict::NextConnection, Remaining::Push, true),
        (0, refused(), lost(true), Verdict::NextConnection, in_doubt, false),
        (3, unknown(), ok(), Verdict::SendAgain, Remaining::Push, true),
        (0, unknown(), ok(), Verdict::Settled, nothing, false),
        (3, unknown(), refused(), Verdict::NextConnection, in_doubt, false),
        (3, taken(), lost(true), Verdict::NextConnection, ack, true),
        (3, taken(), refused(), Verdict::SendAgain, ack, true),
        (3, lost(true), lost(true), Verdict::NextConnection, in_doubt, false),
        (3, lost(false), lost(false), Verdict::NextConnection, both, true),
    ] {
        let job = Job { jid: "job-00000001".into(), retry: Some(retry), ..Job::default() };
        let mut report = sent(Ending::Snooze(Box::new(job), Duration::ZERO), begun);
        let what = format!("{retry} {push:?} {ack_answer:?}");
        assert_eq!(report.settle(&[push, ack_answer], begun), verdict, "{what}");
        let Report::Requeue { remaining: left, .. } = report.report else { panic!("{what}") };
        assert_eq!(left, remaining, "{what}");
        let soon = begun + Duration::from_millis(600);
        assert_eq!(report.may_be_sent(soon), may_be_sent, "{what}");
    }
}

const OURS: Abilities = Abilities { once: 0, requeue: true, many: false };

fn text(report: &PendingReport) -> Vec<String> {
    let mut lines = Vec::new();
    report.append_lines(&mut lines);
    lines.iter().map(|line| String::from_utf8_lossy(line).trim_end().to_owned()).collect()
}

#[test]
fn a_job_goes_back_in_one_line_where_the_server_takes_it_and_the_job_came_with_a_number() {
    let begun = Instant::now();
    let foreign = Abilities::default();
    let requeued = || Ending::Requeued(Box::default());
    let out = |ending, number, server| {
        let mut report = pending(ending, begun);
        report.reservation.number = number;
        report.goes_out(server, begun);
        report
    };
    let ours = out(requeued(), Some(7), OURS);
    assert_eq!(text(&ours), [r#"WF REQUEUE {"jid":"job-00000001","reservation":7}"#]);
    for (number, server) in [(Some(7), foreign), (None, OURS), (None, foreign)] {
        assert_eq!(lines(&out(requeued(), number, server)), 2, "{number:?} {server:?}");
    }
    let before = Timestamp::now();
    for (after, least) in [(0, 3), (60, 60)] {
        let snooze = Ending::Snooze(Box::default(), Duration::from_secs(after));
        let line = text(&out(snooze, Some(7), OURS)).remove(0);
        let Ok(Command::Requeue(Requeue { at: Some(at), .. })) = Command::parse(line.as_bytes())
        else {
            panic!("{line}")
        };
        let due = at.since(before);
        assert!(due >= Duration::from_secs(least) && due < Duration::from_secs(least + 60));
    }
}

#[test]
fn the_one_line_is_sent_again_while_the_job_is_reserved_and_to_no_server_that_does_not_take_it() {
    let begun = Instant::now();
    let after = |seconds| begun + Duration::from_secs(seconds);
    let lost = |sent| Err(Lost { sent, cause: Arc::new(faktory_link::LinkError::ClosedHere) });
    for retry in [0, 3] {
        let job = Job { retry: Some(retry), ..Job::default() };
        let report = || {
            let mut report = pending(Ending::Requeued(Box::new(job.clone())), begun);
            report.goes_out(OURS, begun);
            report
        };
        // The connection ended, and it is not even known that no answer came.
        assert!(!report().may_be_sent_to(Abilities::default(), begun));
        let mut in_doubt = report();
        assert_eq!(in_doubt.settle(&[lost(true)], begun), Verdict::NextConnection);
        assert!(!in_doubt.may_be_sent_to(Abilities::default(), begun), "a push might double it");
        assert!(in_doubt.may_be_sent_to(OURS, after(1799)));
        assert!(!in_doubt.may_be_sent_to(OURS, after(1801)) && !in_doubt.may_be_sent(after(1801)));
        in_doubt.goes_out(OURS, begun);
        assert!(text(&in_doubt)[0].starts_with("WF REQUEUE "));
        assert_eq!(in_doubt.settle(&[lost(false)], begun), Verdict::NextConnection);
        assert!(!in_doubt.may_be_sent_to(Abilities::default(), begun));
        in_doubt.goes_out(OURS, begun);
        assert_eq!(in_doubt.settle(&[Ok(Reply::OK)], begun), Verdict::Settled);

        // It has certainly not arrived: the other server gets the job by a push.
        let mut unsent = report();
        assert_eq!(unsent.settle(&[lost(false)], begun), Verdict::NextConnection);
        assert!(unsent.may_be_sent_to(Abilities::default(), begun));
        unsent.goes_out(Abilities::default(), begun);
        assert_eq!(lines(&unsent), 2);
    }
}

#[test]
fn a_push_is_refused_120_times_before_the_job_is_given_up() {
    let begun = Instant::now();
    let mut report = requeued(Remaining::Push, begun);
    let refused = || [Ok(Reply::Error("MISCONF no disk".into()))];
    for _ in 1..PUSHES_MAX {
        assert_eq!(report.settle(&refused(), begun), Verdict::SendAgain);
    }
    assert_eq!(report.settle(&refused(), begun), Verdict::PushGivenUp);
}

#[test]
fn a_failure_that_the_server_refused_is_as_one_that_was_never_sent() {
    let begun = Instant::now();
    let mut report = sent(Ending::Failed(Failure::new("k", "m")), begun);
    let refused = Ok(Reply::Error("ERR shutdown in progress".into()));
    assert_eq!(report.settle(&[refused], begun), Verdict::SendAgain);
    assert!(report.may_be_sent(begun + Duration::from_secs(1799)));
    report.goes_out(Abilities::default(), begun);
    let unclear = Ok(Reply::Error("ERR i/o timeout".into()));
    assert_eq!(report.settle(&[unclear], begun), Verdict::SendAgain);
    assert!(!report.may_be_sent(begun + Duration::from_secs(11)));
    let gone = Ok(Reply::Error("ERR Job not found job-00000001".into()));
    assert_eq!(report.settle(&[gone], begun), Verdict::Settled);
}
