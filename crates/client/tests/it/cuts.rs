//! The client against the real API over connections that are cut before an answer arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use client::{Client, JobOutcome, NewJob, PostError};
use testkit::{Remembering, TestApi, WorkServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::faults::complete;

/// A proxy of this API that carries one request a connection, and withholds the first `cuts`
/// answers of jobs; its address, and the requests that it has carried.
async fn cutting(api: String, cuts: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let request = read_message(&mut client).await;
            let mut api = TcpStream::connect(&api).await.unwrap();
            api.write_all(&request).await.unwrap();
            let answer = String::from_utf8(read_message(&mut api).await).unwrap();
            if counter.fetch_add(1, Ordering::SeqCst) >= cuts {
                let (head, body) = answer.split_once("\r\n\r\n").unwrap();
                let answer = format!("{head}\r\nconnection: close\r\n\r\n{body}");
                client.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    (address, requests)
}

async fn read_message(stream: &mut TcpStream) -> Vec<u8> {
    let mut message = Vec::new();
    while !complete(&message) {
        let read = stream.read_buf(&mut message).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&message));
    }
    message
}

fn job(number: u32) -> NewJob {
    NewJob::raw("mail", &[number]).unwrap()
}

fn is_unknown(outcome: &JobOutcome) -> bool {
    matches!(outcome, JobOutcome::Failed(PostError::Unknown { .. }))
}

#[tokio::test]
async fn a_post_whose_answer_is_lost_is_sent_again_and_stored_once() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    api.ready().await;
    let (address, requests) = cutting(api.address().to_string(), 2).await;
    let job_id = Client::new(&address).unwrap().post(&job(1)).await.unwrap();
    assert_eq!(requests.load(Ordering::SeqCst), 3);
    let (address, requests) = cutting(api.address().to_string(), 1).await;
    let outcomes = Client::new(&address).unwrap().post_batch(&[job(2), job(3)]).await;
    assert!(outcomes.iter().all(JobOutcome::is_stored), "{outcomes:?}");
    assert_eq!(requests.load(Ordering::SeqCst), 2);
    let mut wire = server.client().await;
    for number in 1..=3 {
        let stored = wire.fetch("default").await.unwrap();
        assert_eq!(stored.args.unwrap().get(), format!("[{number}]"));
        assert!(number > 1 || stored.jid == job_id);
    }
    assert!(wire.fetch("default").await.is_none());
}

#[tokio::test]
async fn a_job_whose_id_is_forgotten_early_is_not_sent_again() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    api.ready().await;
    let (address, requests) = cutting(api.address().to_string(), 9).await;
    let client = Client::new(&address).unwrap();
    let short = || job(1).dedup_for(std::time::Duration::from_secs(1));
    assert!(matches!(client.post(&short()).await, Err(PostError::Unknown { .. })));
    assert!(is_unknown(&client.post_batch(&[short(), job(2)]).await[0]));
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

/// The API in front of a work server that remembers nothing takes no keys.
#[tokio::test]
async fn where_the_api_takes_no_keys_the_client_goes_on_without_and_sends_nothing_again() {
    let server = Remembering::start(0, []).await;
    let api = TestApi::start(server.link()).await;
    api.ready().await;
    let (address, requests) = cutting(api.address().to_string(), 0).await;
    let client = Client::new(&address).unwrap();
    client.post(&job(1)).await.unwrap();
    assert_eq!(requests.load(Ordering::SeqCst), 2);
    assert!(client.clone().post_batch(&[job(2)]).await[0].is_stored());
    assert_eq!(requests.load(Ordering::SeqCst), 3, "it has learned it");
    // Nobody knows whether the first attempt was refused too.
    let (address, requests) = cutting(api.address().to_string(), 1).await;
    let client = Client::new(&address).unwrap();
    assert!(matches!(client.post(&job(3)).await, Err(PostError::Unknown { .. })));
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}
