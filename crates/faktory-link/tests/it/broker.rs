//! The link against the broker, and against a Faktory where one is configured.

use std::time::Duration;

use faktory_link::{EncodedJob, JobOutcome, LinkPool, Pusher};
use faktory_wire::JOB_ID_REUSED;
use futures_util::future::join_all;
use testkit::{WorkServer, WorkServerKind};
use tokio::time::Instant;

fn job(number: usize) -> EncodedJob {
    let jid = format!("job-{number:08}");
    let json =
        format!(r#"{{"jid":"{jid}","jobtype":"t","args":[{number}],"retry":1,"reserve_for":60}}"#);
    EncodedJob::new(jid, json)
}

#[tokio::test]
async fn jobs_of_many_callers_are_each_stored_exactly_once() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let pusher = Pusher::new(LinkPool::new(server.link()).unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        let pushes = (0..500).map(|number| pusher.push(vec![job(number)], deadline));
        for outcomes in join_all(pushes).await {
            assert_eq!(outcomes, [JobOutcome::Stored], "{kind:?}");
        }
        pusher.close().await;
        assert_eq!(server.client().await.info().await.faktory.total_enqueued, 500, "{kind:?}");
    }
}

#[tokio::test]
async fn a_large_batch_keeps_the_order_of_its_outcomes() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let pusher = Pusher::new(LinkPool::new(server.link()).unwrap());
        let mut jobs: Vec<EncodedJob> = (0..3000).map(job).collect();
        // Two jobs that the server refuses, far apart.
        for index in [7, 2500] {
            let refused = jobs.get_mut(index).unwrap();
            refused.json =
                format!(r#"{{"jid":"{}","jobtype":"","args":[],"retry":1}}"#, refused.jid)
                    .into_bytes();
        }
        let outcomes = pusher.push(jobs, Instant::now() + Duration::from_secs(60)).await;
        assert_eq!(outcomes.len(), 3000);
        let refused: Vec<usize> =
            (0..3000).filter(|index| outcomes.get(*index) != Some(&JobOutcome::Stored)).collect();
        assert_eq!(refused, [7, 2500], "{kind:?}");
        assert_eq!(server.client().await.info().await.faktory.total_enqueued, 2998, "{kind:?}");
    }
}

#[tokio::test]
async fn the_same_id_from_two_callers_is_answered_to_each() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let pusher = Pusher::new(LinkPool::new(server.link()).unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        let json = r#"{"jid":"job-00000001","jobtype":"","args":[],"retry":1}"#;
        let bad = EncodedJob::new("job-00000001", json);
        let pushes = (0..50).map(|number| {
            pusher.push(vec![if number % 2 == 0 { job(1) } else { bad.clone() }], deadline)
        });
        for (number, outcomes) in join_all(pushes).await.into_iter().enumerate() {
            assert_eq!(outcomes == [JobOutcome::Stored], number % 2 == 0, "{kind:?}: {outcomes:?}");
        }
    }
}

#[tokio::test]
async fn after_a_burst_every_connection_is_back_in_the_pool() {
    let server = WorkServer::broker().await;
    let pool = LinkPool::new(faktory_link::LinkConfig {
        max_connections: 2,
        window_commands: 1,
        ..server.link()
    })
    .unwrap();
    let pusher = Pusher::new(pool.clone());
    let deadline = Instant::now() + Duration::from_secs(60);
    for round in 0..20 {
        // Enough jobs for many commands, each of which waits for a connection.
        let pushes = (0..30).map(|caller| {
            pusher
                .push((0..250).map(|n| job(round * 10_000 + caller * 300 + n)).collect(), deadline)
        });
        for outcomes in join_all(pushes).await {
            assert!(outcomes.iter().all(|outcome| *outcome == JobOutcome::Stored));
        }
        // A pusher with nothing to send keeps no connection.
        assert_eq!(pool.warm_up(2).await, 2, "round {round}");
    }
}

#[tokio::test]
async fn warm_up_opens_several_connections_and_they_are_kept() {
    let server = WorkServer::broker().await;
    let pool = LinkPool::new(server.link()).unwrap();
    assert_eq!(pool.warm_up(4).await, 4);
    assert_eq!(pool.size(), 4);
    assert_eq!(pool.warm_up(4).await, 4);
    assert_eq!(pool.size(), 4);
}

/// For a broker that greets with `once`: over one that does not, there is nothing to see.
#[tokio::test]
async fn a_job_that_is_pushed_again_is_stored_once_where_the_broker_remembers_ids() {
    let server = WorkServer::broker().await;
    let pusher = Pusher::new(LinkPool::new(server.link()).unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    for _ in 0..2 {
        let outcomes = pusher.push((0..3).map(job).collect(), deadline).await;
        assert_eq!(outcomes, vec![JobOutcome::Stored; 3]);
    }
    let other = r#"{"jid":"job-00000001","jobtype":"other","args":[1]}"#;
    let outcomes = pusher.push(vec![EncodedJob::new("job-00000001", other)], deadline).await;
    let enqueued = server.client().await.info().await.faktory.total_enqueued;
    if pusher.status().once > Some(0) {
        assert_eq!(outcomes, [JobOutcome::Rejected(JOB_ID_REUSED.into())]);
        assert_eq!(enqueued, 3);
    } else {
        assert_eq!((outcomes, enqueued), (vec![JobOutcome::Stored], 7));
    }
}
