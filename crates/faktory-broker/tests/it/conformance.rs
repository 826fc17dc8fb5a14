//! Behaviour that every work server must have, beside the dialogues. The tests run on the broker,
//! and on a real Faktory where one is named.

use faktory_wire::Reply;
use testkit::{WorkServer, WorkServerKind};

/// A PUSHB of one job. `more` is added to its members.
fn pushb(jid: &str, args: &str, retry: i64, more: &str) -> String {
    let job = format!(r#""jid":"{jid}","jobtype":"t","args":{args},"retry":{retry}"#);
    format!(r#"PUSHB [{{{job},"reserve_for":60{more}}}]"#)
}

#[tokio::test]
async fn a_thousand_pipelined_jobs_are_handed_out_once_each_and_in_order() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let mut client = server.client().await;
        for number in 0..1000 {
            client.send(&pushb(&format!("job-{number:08}"), "[]", 1, "")).await;
        }
        for _ in 0..1000 {
            assert_eq!(client.read().await, Some(Reply::Bulk("{}".into())));
        }
        for number in 0..1000 {
            let job = client.fetch("default").await.unwrap();
            assert_eq!(job.jid, format!("job-{number:08}"), "{kind:?}");
            client.send(&format!(r#"ACK {{"jid":"{}"}}"#, job.jid)).await;
            assert_eq!(client.read().await, Some(Reply::OK));
        }
        let info = client.info().await.faktory;
        assert_eq!(
            (info.total_processed, info.total_enqueued, info.sets.working),
            (1000, 0, 0),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_worker_requeues_a_job_by_a_scheduled_push_of_the_same_job_and_an_ack() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let mut client = server.client().await;
        client.ask(&pushb("job-00000001", "[1]", 0, "")).await;
        let job = client.fetch("default").await.unwrap();
        let at = faktory_wire::Timestamp::now().plus(std::time::Duration::from_secs(1));
        let at = format!(r#","at":"{at}""#);
        client.send(&pushb("job-00000001", job.args_json(), 0, &at)).await;
        client.send(r#"ACK {"jid":"job-00000001"}"#).await;
        assert_eq!(
            (client.read().await, client.read().await),
            (Some(Reply::Bulk("{}".into())), Some(Reply::OK))
        );
        let sets = client.info().await.faktory.sets;
        assert_eq!((sets.scheduled, sets.working), (1, 0), "{kind:?}");
        // Faktory moves due jobs every 5 s, and a FETCH waits for 2 s.
        let mut again = None;
        for _ in 0..5 {
            again = again.or(client.fetch("default").await);
        }
        assert_eq!(
            again.map(|job| (job.jid, job.failure)),
            Some(("job-00000001".into(), None)),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn every_waiting_fetch_gets_its_own_job() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let mut fetchers = Vec::new();
        for _ in 0..5 {
            let mut client = server.client().await;
            client.send("FETCH default").await;
            fetchers.push(client);
        }
        let mut pusher = server.client().await;
        for number in 0..5 {
            pusher.ask(&pushb(&format!("job-{number:08}"), "[]", 1, "")).await;
        }
        let mut seen = Vec::new();
        for mut client in fetchers {
            match client.read().await {
                Some(Reply::Bulk(body)) => seen.push(faktory_wire::Job::parse(&body).unwrap().jid),
                other => panic!("{kind:?}: {other:?}"),
            }
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 5, "{kind:?}");
    }
}
