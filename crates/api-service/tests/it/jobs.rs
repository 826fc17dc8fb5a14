//! Good input: the answer, and the job that lies in the work server.

use serde_json::{Value, json};
use testkit::http::Client;
use testkit::{TestApi, WorkServer, WorkServerKind};

#[tokio::test]
async fn a_typed_and_a_raw_job_arrive_in_the_work_server_with_their_options() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let api = TestApi::start(server.link()).await;
        let mut client = Client::connect(api.address()).await.unwrap();
        let answer = client
            .post(
                "/jobs/add",
                r#"{"a":1,"b":2.5,"queue":"sums","retry":3,"reserve_for":60,"backtrace":5}"#,
            )
            .await
            .unwrap();
        assert_eq!(answer.status, 202);
        let job_id = answer.body.get("job_id").and_then(Value::as_str).unwrap().to_owned();
        assert!(
            job_id.len() == 32 && job_id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{job_id}"
        );

        let mut wire = server.client().await;
        let job = wire.fetch("sums").await.unwrap();
        assert_eq!(
            (job.jid, job.jobtype.as_str(), job.retry, job.reserve_for, job.backtrace),
            (job_id, "add", Some(3), Some(60), Some(5))
        );
        assert_eq!(job.args.unwrap().get(), "[1,2.5]");

        let raw = r#"{"jobtype":"mail","args":["x",{"k":[1]}],
                "job_id":"my-own-id_0123456789","custom":{"traceparent":"00-x"}}"#;
        let answer = client.post("/jobs", raw).await.unwrap();
        assert_eq!(answer.body, json!({ "job_id": "my-own-id_0123456789" }), "{kind:?}");
        let job = wire.fetch("default").await.unwrap();
        assert_eq!(
            (job.jid.as_str(), job.jobtype.as_str(), job.args_json()),
            ("my-own-id_0123456789", "mail", r#"["x",{"k":[1]}]"#)
        );
        assert_eq!(job.custom.unwrap().get(), r#"{"traceparent":"00-x"}"#);
        assert_eq!((job.retry, job.reserve_for), (Some(25), Some(1800)));
    }
}

#[tokio::test]
async fn a_job_for_later_waits_in_the_scheduled_set() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let mut client = Client::connect(api.address()).await.unwrap();
    for body in [
        r#"{"a":1,"b":2,"at":"2100-01-01T00:00:00+02:00"}"#,
        r#"{"a":1,"b":2,"delay_ms":3600000}"#,
        r#"{"a":1,"b":2,"at":"2001-01-01T00:00:00Z"}"#,
    ] {
        assert_eq!(client.post("/jobs/add", body).await.unwrap().status, 202);
    }
    let info = server.client().await.info().await.faktory;
    assert_eq!((info.sets.scheduled, info.total_enqueued), (2, 1));
}

#[tokio::test]
async fn a_batch_is_answered_with_its_ids_in_order() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let api = TestApi::start(server.link()).await;
        let jobs: Vec<Value> = (0..2500)
            .map(|n| json!({ "jobtype": "n", "args": [n], "job_id": format!("batch-job-{n:010}") }))
            .collect();
        let answer =
            testkit::http::post(api.address(), "/jobs/batch", json!({ "jobs": jobs }).to_string())
                .await
                .unwrap();
        assert_eq!(answer.status, 202);
        assert_eq!(answer.body.get("count"), Some(&json!(2500)));
        let ids = answer.body.get("job_ids").and_then(Value::as_array).unwrap();
        assert!(ids.iter().enumerate().all(|(n, id)| *id == json!(format!("batch-job-{n:010}"))));
        assert_eq!(server.client().await.info().await.faktory.total_enqueued, 2500, "{kind:?}");
    }
}

#[tokio::test]
async fn a_request_id_is_taken_from_the_client_or_made_and_returned() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let mut client = Client::connect(api.address()).await.unwrap();
    let get = hyper::Method::GET;
    let answer =
        client.send(get.clone(), "/health", &[("x-request-id", "my-id")], "").await.unwrap();
    assert_eq!(answer.headers.get("x-request-id").unwrap(), "my-id");
    let long = "x".repeat(200);
    let answer = client.send(get, "/health", &[("x-request-id", &long)], "").await.unwrap();
    assert_eq!(answer.headers.get("x-request-id").unwrap().len(), 32);
}
