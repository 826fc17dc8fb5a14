//! The client against the real API and the broker.

use std::collections::HashSet;

use client::{Client, JobOutcome, NewJob, PostError};
use job_types::Finite;
use job_types::jobs::Add;
use testkit::{TestApi, WorkServer};

fn add(a: u32) -> NewJob {
    NewJob::typed(&Add { a: Finite::new(f64::from(a)).unwrap(), b: Finite::new(1.0).unwrap() })
}

async fn stack() -> (WorkServer, TestApi, Client) {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    api.ready().await;
    let client = Client::new(&format!("http://{}", api.address())).unwrap();
    (server, api, client)
}

#[tokio::test]
async fn typed_and_raw_jobs_are_stored_with_their_options() {
    let (server, _api, client) = stack().await;
    client.post(&add(1).queue("sums").retry(3)).await.unwrap();
    let raw = NewJob::raw("mail", &["ann"])
        .unwrap()
        .queue("mails")
        .id("an-id-of-my-own-1")
        .custom(&serde_json::json!({"k":1}))
        .unwrap();
    assert_eq!(client.post(&raw).await.unwrap(), "an-id-of-my-own-1");
    let mut wire = server.client().await;
    let sum = wire.fetch("sums").await.unwrap();
    assert_eq!((sum.args.unwrap().get(), sum.retry), ("[1,1]", Some(3)));
    let mail = wire.fetch("mails").await.unwrap();
    assert_eq!(
        (mail.jid.as_str(), mail.custom.unwrap().get()),
        ("an-id-of-my-own-1", r#"{"k":1}"#)
    );
}

#[tokio::test]
async fn a_batch_of_any_size_arrives_whole_and_keeps_its_order() {
    let (_server, api, _) = stack().await;
    let client =
        Client::builder(&format!("http://{}", api.address())).chunk_jobs(70).build().unwrap();
    let jobs: Vec<NewJob> =
        (0..1000).map(|number| add(number).id(&format!("order-of-jobs-{number:06}"))).collect();
    let outcomes = client.post_batch(&jobs).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(*outcome, JobOutcome::Stored { job_id: format!("order-of-jobs-{number:06}") });
    }
    assert_eq!(outcomes.len(), 1000);
    assert!(client.post_batch(&[]).await.is_empty());
}

#[tokio::test]
async fn an_invalid_job_is_named_and_its_request_leaves_nothing_behind() {
    let (_server, api, _) = stack().await;
    let client =
        Client::builder(&format!("http://{}", api.address())).chunk_jobs(3).build().unwrap();
    let jobs = [add(0), add(1).queue("no spaces"), add(2), add(3), add(4).queue("none either")];
    let outcomes = client.post_batch(&jobs).await;
    assert!(matches!(&outcomes[0], JobOutcome::Failed(PostError::NotStored(_))), "{outcomes:?}");
    let JobOutcome::Failed(PostError::Refused(problem)) = &outcomes[1] else {
        unreachable!("{outcomes:?}")
    };
    assert_eq!(problem.errors[0].pointer, "/jobs/1/queue");
    assert!(matches!(&outcomes[2], JobOutcome::Failed(PostError::NotStored(_))));
    let JobOutcome::Failed(PostError::Refused(problem)) = &outcomes[4] else {
        unreachable!("{outcomes:?}")
    };
    assert_eq!(
        problem.errors[0].pointer, "/jobs/4/queue",
        "the caller's number, not the request's"
    );
    assert!(client.post_batch(&[add(3)]).await[0].is_stored());
    let Err(PostError::Refused(problem)) = client.post(&add(1).queue("no spaces")).await else {
        unreachable!()
    };
    assert_eq!((problem.status, problem.errors[0].pointer.as_str()), (422, "/queue"));
}

#[tokio::test]
async fn many_tasks_share_a_client() {
    let (_server, _api, client) = stack().await;
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move { client.post(&add(number)).await.unwrap() })
        })
        .collect();
    let mut ids = HashSet::new();
    for task in tasks {
        ids.insert(task.await.unwrap());
    }
    assert_eq!(ids.len(), 200);
}

#[tokio::test]
async fn a_configured_key_is_sent_and_a_missing_or_wrong_key_is_told() {
    let server = WorkServer::broker().await;
    let (secret, key) = service_runtime::Key::new("ci", [service_runtime::Scope::Post]).unwrap();
    let keys = service_runtime::Keys::parse(&key.line()).unwrap();
    let config = api_service::ApiConfig::new(server.link())
        .with(|api| api.keys = Some(("nowhere".into(), keys)));
    let api = TestApi::start_with(config).await;
    api.ready().await;
    let builder = Client::builder(&format!("http://{}", api.address()));
    let client = builder.clone().key(secret.reveal()).build().unwrap();
    client.post(&add(1)).await.unwrap();
    assert!(!format!("{client:?} {builder:?}").contains(secret.reveal()));
    for (client, code) in [
        (builder.clone().build(), "key_missing"),
        (builder.clone().key("wf_other").build(), "key_unknown"),
    ] {
        let error = client.unwrap().post(&add(1)).await.unwrap_err();
        assert!(matches!(&error, PostError::Refused(problem) if problem.code == code), "{error}");
    }
    assert!(builder.key("two\nlines").build().is_err());
}

#[tokio::test]
async fn an_api_with_tls_is_reached_where_a_trusted_authority_has_certified_it() {
    let server = WorkServer::broker().await;
    let (authority, stranger) = (testkit::Authority::new(), testkit::Authority::new());
    let (certificate, key) = authority.certify("api", &["127.0.0.1"]);
    let tls = Some(service_runtime::ServerTls::load(&certificate, &key).unwrap());
    let config = api_service::ApiConfig::new(server.link()).with(|api| api.tls = tls);
    let api = TestApi::start_with(config).await;
    let builder = Client::builder(&format!("https://{}", api.address())).attempts(20);
    let client =
        builder.clone().authorities(std::fs::read(authority.file()).unwrap()).build().unwrap();
    client.post(&add(1)).await.unwrap();
    let client = builder
        .clone()
        .attempts(1)
        .authorities(std::fs::read(stranger.file()).unwrap())
        .build()
        .unwrap();
    let error = client.post(&add(1)).await.unwrap_err();
    assert!(
        matches!(&error, PostError::NotStored(why) if why.contains("UnknownIssuer")),
        "{error}"
    );
    assert!(builder.authorities("nonsense").build().is_err());
}
