//! WF FETCH and WF ACK over real sockets: answers that are cut off, and commands that are cut off
//! and sent again.

use std::time::Duration;

use faktory_wire::{Abilities, Job, Reply};
use testkit::{WireClient, WorkServer, eventually};

use crate::requeue::counts;

const FETCH: &str = r#"WF FETCH {"n":10,"queues":["default"]}"#;

async fn push(client: &mut WireClient, count: usize, bytes: usize) {
    for number in 0..count {
        let args = "x".repeat(bytes);
        let job = format!(r#"{{"jid":"job-{number:08}","jobtype":"t","args":["{args}"]}}"#);
        assert_eq!(client.ask(&format!("PUSH {job}")).await, Reply::OK);
    }
}

/// The jobs of an answer, each from its line.
fn jobs(reply: &Reply) -> Vec<Job> {
    let body = match reply {
        Reply::Bulk(body) => body.clone(),
        _ => Default::default(),
    };
    body.split(|byte| *byte == b'\n').map(|line| Job::parse(line).unwrap()).collect()
}

/// Fetches all jobs, and says the line that ends them.
async fn fetch(client: &mut WireClient) -> String {
    let done = |job: &Job| format!(r#"["{}",{}]"#, job.jid, job.reservation.unwrap());
    let jobs: Vec<_> = jobs(&client.ask(FETCH).await).iter().map(done).collect();
    format!(r#"WF ACK {{"jobs":[{}]}}"#, jobs.join(","))
}

#[tokio::test]
async fn the_greeting_tells_of_the_commands() {
    let server = WorkServer::broker().await;
    let client = WireClient::connect(server.address()).await;
    let abilities = client.greeting.as_ref().unwrap().abilities;
    assert!(matches!(abilities, Some(Abilities { many: true, .. })), "{abilities:?}");
}

#[tokio::test]
async fn all_jobs_of_an_answer_go_back_at_once_where_the_client_has_left_or_is_cut_off() {
    let server = WorkServer::broker().await;
    let mut client = server.client().await;
    push(&mut client, 5, 8000).await;
    for is_reset in [true, false] {
        for _ in 0..10 {
            let mut leaving = server.client().await;
            leaving.send(FETCH).await;
            if is_reset {
                leaving.reset();
            } else {
                // Its answer says that there is no job, or the broker was faster than the client.
                leaving.half_close().await;
                if let Some(answer @ Reply::Bulk(_)) = leaving.read().await {
                    assert_eq!(jobs(&answer).len(), 5);
                    client.ask("FLUSH").await;
                    push(&mut client, 5, 8000).await;
                }
            }
            eventually("all are there again", Duration::from_secs(20), || async {
                let info = server.client().await.info().await.faktory;
                (info.total_enqueued == 5 && info.sets.working == 0).then_some(())
            })
            .await;
        }
    }
    let jobs = jobs(&client.ask(FETCH).await);
    assert!(jobs.iter().map(|job| &job.jid).is_sorted() && jobs.len() == 5);
}

#[tokio::test]
async fn an_ack_that_is_cut_at_any_byte_and_sent_again_ends_each_job_once() {
    let server = WorkServer::broker().await;
    let mut client = server.client().await;
    let (mut cut, mut ended) = (0, 0);
    loop {
        push(&mut client, 3, 1).await;
        let line = format!("{}\r\n", fetch(&mut client).await);
        if cut > line.len() {
            break;
        }
        let mut broken = server.client().await;
        broken.send_raw(&line.as_bytes()[..cut]).await;
        if cut % 2 == 0 {
            broken.reset();
        } else {
            // All that was sent arrives.
            broken.half_close().await;
            let answered = broken.read().await;
            assert_eq!(answered.is_some(), cut == line.len(), "cut after {cut} bytes");
        }
        ended += 3;
        for _ in 0..2 {
            assert_eq!(client.ask(line.trim_end()).await, Reply::OK);
            assert_eq!(counts(&mut client).await, [0, 0, ended, 0], "cut after {cut} bytes");
        }
        cut += 1;
    }
    assert!(cut > 50, "{cut}");
}
