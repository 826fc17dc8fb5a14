//! WF REQUEUE over real sockets: who is told the number of a reservation, and a command that is
//! cut off and sent again.

use faktory_wire::{Abilities, Reply};
use testkit::{WireClient, WorkServer};

const PUSH: &str = r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[1.50],"retry":0}"#;

/// A client that understands the numbers of reservations.
async fn ours(server: &WorkServer) -> WireClient {
    let mut client = WireClient::open(server.address()).await;
    client.read().await.unwrap();
    assert_eq!(client.ask(r#"HELLO {"v":2,"wid":"worker-0001","wf":1}"#).await, Reply::OK);
    client
}

/// Fetches the job, and says the line that gives it back.
async fn fetch(client: &mut WireClient) -> String {
    let job = client.fetch("default").await.unwrap();
    assert_eq!((job.jid.as_str(), job.args_json()), ("job-00000001", "[1.50]"));
    let number = job.reservation.unwrap();
    format!(r#"WF REQUEUE {{"jid":"{}","reservation":{number}}}"#, job.jid)
}

/// Jobs that wait and jobs that are reserved; runs, and failed ones.
pub(crate) async fn counts(client: &mut WireClient) -> [u64; 4] {
    let info = client.info().await.faktory;
    [info.total_enqueued, info.sets.working, info.total_processed, info.total_failures]
}

#[tokio::test]
async fn the_greeting_tells_of_the_command_and_only_a_client_of_ours_is_told_the_number() {
    let server = WorkServer::broker().await;
    let mut client = ours(&server).await;
    let abilities = client.greeting.as_ref().unwrap().abilities;
    assert!(matches!(abilities, Some(Abilities { requeue: true, .. })), "{abilities:?}");
    client.ask(PUSH).await;
    let line = fetch(&mut client).await;
    assert_eq!(client.ask(&line).await, Reply::OK);
    assert_eq!(server.client().await.fetch("default").await.unwrap().reservation, None);
}

#[tokio::test]
async fn a_command_that_is_cut_at_any_byte_and_sent_again_gives_the_job_back_once() {
    let server = WorkServer::broker().await;
    let mut client = ours(&server).await;
    client.ask(PUSH).await;
    let mut cut = 0;
    loop {
        let line = format!("{}\r\n", fetch(&mut client).await);
        if cut > line.len() {
            break;
        }
        let mut broken = ours(&server).await;
        broken.send_raw(&line.as_bytes()[..cut]).await;
        if cut % 2 == 0 {
            broken.reset();
        } else {
            // All that was sent arrives.
            broken.half_close().await;
            let answered = broken.read().await;
            assert_eq!(answered.is_some(), cut == line.len(), "cut after {cut} bytes");
        }
        assert_eq!(client.ask(line.trim_end()).await, Reply::OK);
        assert_eq!(counts(&mut client).await, [1, 0, 0, 0], "cut after {cut} bytes");
        cut += 1;
    }
    assert!(cut > 50, "{cut}");
}

#[tokio::test]
async fn a_command_whose_answer_is_cut_at_any_byte_and_that_is_sent_again_gives_the_job_back_once()
{
    let server = WorkServer::broker().await;
    let mut client = ours(&server).await;
    client.ask(PUSH).await;
    for cut in 0..=b"+OK\r\n".len() {
        let line = fetch(&mut client).await;
        let mut broken = ours(&server).await;
        broken.send(&line).await;
        assert_eq!(broken.read_raw(cut).await, b"+OK\r\n"[..cut]);
        broken.reset();
        for _ in 0..2 {
            assert_eq!(client.ask(&line).await, Reply::OK);
        }
        assert_eq!(counts(&mut client).await, [1, 0, 0, 0], "cut after {cut} bytes");
    }
}
