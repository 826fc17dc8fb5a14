//! A work server that remembers the ids of jobs: what may be stored is sent again, and no job is
//! stored twice.

use std::sync::Arc;
use std::time::Duration;

use faktory_link::{
    BreakerState, EncodedJob, JobOutcome, LinkConfig, LinkPool, NotSent, Pusher, Terms,
};
use faktory_wire::{JOB_ID_REUSED, KEY_REUSED, OnceKey};
use futures_util::future::join_all;
use testkit::{Fault, Remembering};
use tokio::time::Instant;

use crate::push::{job, push};

const DAY: u32 = 86_400;
const JIDS: [&str; 3] = ["job-00000001", "job-00000002", "job-00000003"];

/// A job with these terms.
fn with_terms(jid: &str, terms: &Arc<Terms>) -> EncodedJob {
    EncodedJob { terms: Some(Arc::clone(terms)), ..job(jid) }
}

fn stored(server: &Remembering) -> Vec<String> {
    let mut stored: Vec<_> = server.stored().into_iter().map(|job| job.jid).collect();
    stored.sort();
    stored
}

fn is_unknown(outcomes: &[JobOutcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, JobOutcome::Unknown(_)))
}

#[tokio::test]
async fn a_link_that_is_cut_at_any_byte_stores_each_job_once_and_says_so() {
    let whole = Remembering::start(DAY, []).await;
    push(whole.link(), &JIDS).await;
    let command = whole.lines().first().unwrap().len() + "\r\n".len();
    let answer = "$2\r\n{}\r\n".len();
    let cut = async |fault: Fault| {
        let server = Remembering::start(DAY, [fault.clone()]).await;
        let outcomes = push(server.link(), &JIDS).await;
        assert_eq!(outcomes, vec![JobOutcome::Stored; 3], "{fault:?}");
        assert_eq!(stored(&server), JIDS, "{fault:?}");
    };
    join_all((0..=command).map(|at| cut(Fault::CutCommand(at)))).await;
    join_all((0..answer).map(|at| cut(Fault::CutAnswer(at)))).await;
}

#[tokio::test]
async fn an_answer_after_which_jobs_may_be_stored_is_not_the_last_word() {
    let later = "-ERR shutdown in progress";
    for (faults, lines) in [
        (vec![Fault::Say("-ERR internal error")], 2),
        (vec![Fault::Refuse("ERR context deadline exceeded")], 2),
        (vec![Fault::Say(r#"+what"#)], 2),
        (vec![Fault::CutAnswer(0), Fault::CutAnswer(3), Fault::CutCommand(0)], 3),
        // What a second command is refused for says nothing of the first.
        (vec![Fault::CutAnswer(0), Fault::Say(later), Fault::Say(later)], 4),
    ] {
        let server = Remembering::start(DAY, faults.clone()).await;
        let outcomes = push(server.link(), &JIDS).await;
        assert_eq!(outcomes, vec![JobOutcome::Stored; 3], "{faults:?}");
        assert_eq!(
            (stored(&server).as_slice(), server.lines().len()),
            (&JIDS.map(str::to_owned)[..], lines)
        );
    }
}

#[tokio::test]
async fn a_silent_connection_is_given_up_and_the_jobs_are_sent_over_another() {
    let server = Remembering::start(DAY, [Fault::Silence]).await;
    let config = LinkConfig { read_timeout: Duration::from_millis(200), ..server.link() };
    assert_eq!(push(config, &JIDS).await, vec![JobOutcome::Stored; 3]);
    assert_eq!(stored(&server), JIDS);
}

/// Within the read timeout of the silent connection, which is longer than any test.
#[tokio::test]
async fn a_silent_loss_is_sent_again_early_over_another_connection_and_once_only() {
    let patient = |server: &Remembering| LinkConfig {
        read_timeout: Duration::from_secs(3600),
        breaker_failures: 1,
        ..server.link()
    };
    let server = Remembering::start(DAY, [Fault::Silence]).await;
    assert_eq!(push(patient(&server), &JIDS).await, vec![JobOutcome::Stored; 3]);
    assert_eq!(
        (stored(&server).as_slice(), server.lines().len()),
        (&JIDS.map(str::to_owned)[..], 2)
    );
    let server = Remembering::start(DAY, [Fault::Silence, Fault::Silence]).await;
    let pool = LinkPool::new(patient(&server)).unwrap();
    let pusher = Pusher::new(pool);
    let deadline = Instant::now() + Duration::from_secs(12);
    let outcomes = pusher.push(JIDS.map(job).to_vec(), deadline).await;
    assert!(is_unknown(&outcomes), "{outcomes:?}");
    assert_eq!(server.lines().len(), 2);
    assert_eq!(pusher.status().breaker, BreakerState::Closed);
    // Ids that may be forgotten by then are not sent again, and are waited for.
    let server = Remembering::start(2, [Fault::Silence]).await;
    let pusher = Pusher::new(LinkPool::new(patient(&server)).unwrap());
    let deadline = Instant::now() + Duration::from_secs(4);
    assert!(is_unknown(&pusher.push(vec![job(JIDS[0])], deadline).await));
    assert_eq!(server.lines().len(), 1);
}

/// One connection is silent, the other is in use, and the pool has no place for a third one.
#[tokio::test]
async fn a_silent_connection_is_not_kept_from_others_while_there_is_no_other() {
    let server = Remembering::start(DAY, [Fault::Silence]).await;
    let config = LinkConfig {
        connect_timeout: Duration::from_secs(3600),
        read_timeout: Duration::from_secs(3600),
        max_connections: 2,
        ..server.link()
    };
    let pool = LinkPool::new(config).unwrap();
    let in_use = pool.get().await.unwrap();
    let pusher = Pusher::new(pool.clone());
    let deadline = Instant::now() + Duration::from_secs(3600);
    let push = pusher.push(vec![job(JIDS[0])], deadline);
    // It looks for another connection after two seconds.
    assert!(tokio::time::timeout(Duration::from_secs(4), push).await.is_err());
    assert_eq!(pool.idle(), 1);
    drop(in_use);
}

#[tokio::test]
async fn to_a_faktory_the_bytes_are_as_ever_and_nothing_is_sent_twice() {
    let json = |jid| format!(r#"{{"jid":"{jid}","jobtype":"t","args":[]}}"#);
    let expected = format!("PUSHB [{}]", JIDS.map(json).join(","));
    for (fault, unknown) in [
        (None, false),
        (Some(Fault::CutAnswer(0)), true),
        (Some(Fault::Say("-ERR internal error")), true),
    ] {
        let server = Remembering::start(0, fault.clone()).await;
        let outcomes = push(server.link(), &JIDS).await;
        assert_eq!(is_unknown(&outcomes), unknown, "{fault:?}: {outcomes:?}");
        assert_eq!(server.lines(), [expected.as_str()], "{fault:?}");
    }
}

#[tokio::test]
async fn a_command_has_a_group_for_neighbours_with_the_same_terms() {
    let server = Remembering::start(DAY, []).await;
    let pusher = Pusher::new(LinkPool::new(server.link()).unwrap());
    let key = Some(OnceKey { id: "k".into(), hash: "h".into() });
    let terms = Arc::new(Terms { caller: Some("ann".into()), seconds: Some(60), key });
    let [one, two, three] = JIDS;
    let jobs = vec![with_terms(one, &terms), with_terms(two, &terms), job(three)];
    let outcomes = pusher.push(jobs, Instant::now() + Duration::from_secs(20)).await;
    assert_eq!(outcomes, vec![JobOutcome::Stored; 3]);
    let groups = concat!(
        r#"WF PUSHB {"groups":[{"jobs":2,"by":"ann","for":60,"key":{"id":"k","hash":"h"}},"#,
        r#"{"jobs":1}],"jobs":[{"#
    );
    assert!(server.lines()[0].starts_with(groups), "{:?}", server.lines());
    assert_eq!(pusher.status().once, Some(DAY));

    let plain = Remembering::start(DAY, []).await;
    push(plain.link(), &JIDS).await;
    assert!(plain.lines()[0].starts_with(r#"WF PUSHB {"jobs":[{"#), "{:?}", plain.lines());
}

#[tokio::test]
async fn jobs_with_terms_are_sent_to_no_work_server_that_does_not_keep_them() {
    let key = Some(OnceKey { id: "k".into(), hash: "h".into() });
    let keyed = Arc::new(Terms { key, ..Terms::default() });
    let short = Arc::new(Terms { seconds: Some(61), ..Terms::default() });
    let own = Arc::new(Terms { caller: Some("ann".into()), ..Terms::default() });
    for (once, terms, is_sent) in [
        (0, &keyed, false),
        (60, &keyed, true),
        (0, &short, false),
        (60, &short, false),
        (61, &short, true),
        (0, &own, true),
    ] {
        let server = Remembering::start(once, []).await;
        let pusher = Pusher::new(LinkPool::new(server.link()).unwrap());
        let jobs = vec![with_terms(JIDS[0], terms)];
        let outcomes = pusher.push(jobs, Instant::now() + Duration::from_secs(20)).await;
        let expected = if is_sent { 1 } else { 0 };
        assert_eq!(stored(&server).len(), expected, "{once}, {terms:?}: {outcomes:?}");
        let is_refused =
            matches!(outcomes.as_slice(), [JobOutcome::NotSent(NotSent::NotRemembered, _)]);
        assert_eq!(is_refused, !is_sent, "{once}, {terms:?}: {outcomes:?}");
    }
}

#[tokio::test]
async fn reused_ids_and_keys_are_refused_and_the_callers_are_told_apart() {
    let server = Remembering::start(DAY, []).await;
    let pusher = Pusher::new(LinkPool::new(server.link()).unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    let push = async |job: EncodedJob| pusher.push(vec![job], deadline).await.remove(0);
    let jid = JIDS[0];
    let other = EncodedJob::new(jid, format!(r#"{{"jid":"{jid}","jobtype":"u","args":[]}}"#));
    assert_eq!(push(job(jid)).await, JobOutcome::Stored);
    assert_eq!(push(job(jid)).await, JobOutcome::Stored);
    assert_eq!(push(other.clone()).await, JobOutcome::Rejected(JOB_ID_REUSED.into()));
    let ann = Arc::new(Terms { caller: Some("ann".into()), ..Terms::default() });
    let of_ann = EncodedJob { terms: Some(ann), ..other };
    assert_eq!(push(of_ann).await, JobOutcome::Stored);
    let key = |hash: &str| {
        let key = Some(OnceKey { id: "k".into(), hash: hash.into() });
        Arc::new(Terms { key, ..Terms::default() })
    };
    assert_eq!(push(with_terms(JIDS[1], &key("a"))).await, JobOutcome::Stored);
    let reused = push(with_terms(JIDS[2], &key("b"))).await;
    assert_eq!(reused, JobOutcome::Rejected(KEY_REUSED.into()));
    assert_eq!(server.stored().len(), 3);
}

#[tokio::test]
async fn what_is_unknown_at_the_deadline_stays_unknown() {
    // Whatever the first command met, each further one meets a refusal of all work.
    let refuses = "-ERR shutdown in progress";
    let faults = std::iter::once(Fault::CutAnswer(0)).chain(vec![Fault::Say(refuses); 1000]);
    let server = Remembering::start(DAY, faults).await;
    let pusher = Pusher::new(LinkPool::new(server.link()).unwrap());
    let deadline = Instant::now() + Duration::from_millis(1500);
    let outcomes = pusher.push(vec![job(JIDS[0])], deadline).await;
    assert!(is_unknown(&outcomes), "{outcomes:?}");
    // With pauses of at least 25 ms that double, the eighth would come after 1,575 ms.
    assert!((2..=7).contains(&server.lines().len()), "{}", server.lines().len());
    pusher.close().await;
    let status = pusher.status();
    assert_eq!((status.in_flight, status.breaker), (0, BreakerState::Closed));
}

#[tokio::test]
async fn connections_that_cannot_be_made_for_sending_again_open_no_circuit() {
    let server = Remembering::start(DAY, [Fault::Silence]).await;
    let read_timeout = Duration::from_secs(600);
    let config = LinkConfig { breaker_failures: 2, read_timeout, ..server.link() };
    let pusher = Pusher::new(LinkPool::new(config).unwrap());
    let deadline = Instant::now() + Duration::from_millis(1500);
    let leave = async {
        testkit::eventually("the push has come", Duration::from_secs(20), || async {
            server.lines().first().map(drop)
        })
        .await;
        drop(server);
    };
    let (outcomes, ()) = tokio::join!(pusher.push(vec![job(JIDS[0])], deadline), leave);
    assert!(is_unknown(&outcomes), "{outcomes:?}");
    pusher.close().await;
    let status = pusher.status();
    assert_eq!((status.in_flight, status.breaker), (0, BreakerState::Closed));
}

#[tokio::test]
async fn ids_that_may_be_forgotten_are_not_sent_again() {
    // Half of a second is over before the reply is given up.
    let server = Remembering::start(1, [Fault::Silence]).await;
    let config = LinkConfig { read_timeout: Duration::from_secs(1), ..server.link() };
    assert!(is_unknown(&push(config, &JIDS).await));
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn an_abandoned_pusher_sends_nothing_again() {
    let server = Remembering::start(DAY, vec![Fault::CutAnswer(0); 1000]).await;
    // The circuit opens at the first loss, and nobody probes: the jobs wait for it to close.
    let config = LinkConfig { breaker_failures: 1, ..server.link() };
    let pusher = Pusher::new(LinkPool::new(config).unwrap());
    let abandon = async {
        testkit::eventually("the circuit opens", Duration::from_secs(20), || async {
            (pusher.status().breaker == BreakerState::Open).then_some(())
        })
        .await;
        pusher.abandon();
    };
    let deadline = Instant::now() + Duration::from_secs(600);
    let (outcomes, ()) = tokio::join!(pusher.push(vec![job(JIDS[0])], deadline), abandon);
    assert!(is_unknown(&outcomes), "{outcomes:?}");
    pusher.close().await;
    assert_eq!((server.lines().len(), pusher.status().in_flight), (1, 0));
}
