//! Jobs that are stored once: `Idempotency-Key`, a `job_id` that is posted again, and `dedup_for`,
//! with a work server that remembers ids and with one that does not.

use std::collections::HashMap;
use std::time::Duration;

use api_service::ApiConfig;
use futures_util::future::join_all;
use hyper::Method;
use serde_json::{Value, json};
use service_runtime::{Key, Keys, Scope};
use testkit::http::{Answer, Client};
use testkit::{Fault, Remembering, TestApi};

const DAY: u32 = 86_400;

async fn api(server: &Remembering) -> TestApi {
    TestApi::start(server.link()).await
}

/// Posts JSON with these further headers.
async fn post(api: &TestApi, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    let mut client = Client::connect(api.address()).await.unwrap();
    client.send(Method::POST, path, &headers, body.to_owned()).await.unwrap()
}

fn code(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.body.get("code").and_then(Value::as_str).unwrap_or("-"))
}

const ADD: &str = r#"{"a":1,"b":2}"#;
const MAIL: &str = r#"{"jobtype":"mail","args":["ann"]}"#;
const LATER: &str = r#"{"jobtype":"mail","args":["ann"],"delay_ms":60000}"#;
const OWN: &str = r#"{"jobtype":"mail","args":["ann"],"job_id":"the-callers-own-id"}"#;
const OWN_OTHER: &str = r#"{"jobtype":"mail","args":["bob"],"job_id":"the-callers-own-id"}"#;
const BATCH: &str = r#"{"jobs":[{"operation":"add","a":1,"b":2},{"operation":"add","a":1,"b":2},
    {"jobtype":"mail","args":[],"job_id":"another-id-of-theirs"}]}"#;
const BATCH_OTHER: &str = r#"{"jobs":[{"operation":"add","a":1,"b":2}]}"#;

/// What a post does: its name, the instance of the API, path, `Idempotency-Key` (empty: none) and
/// body; then status, code, the name of the post whose answer comes again (empty: it is a new one),
/// and the number of jobs that are stored by then.
type Row = (
    &'static str,
    usize,
    (&'static str, &'static str, &'static str),
    (u16, &'static str),
    &'static str,
    usize,
);

const REUSED: (u16, &str) = (422, "idempotency_key_reused");
const OK: (u16, &str) = (202, "-");

const ROWS: &[Row] = &[
    ("first", 0, ("/jobs/add", "k", ADD), OK, "", 1),
    ("again", 0, ("/jobs/add", "k", ADD), OK, "first", 1),
    ("elsewhere", 1, ("/jobs/add", "k", ADD), OK, "first", 1),
    ("quoted", 1, ("/jobs/add", r#""k""#, ADD), OK, "first", 1),
    ("other numbers", 0, ("/jobs/add", "k", r#"{"a":1,"b":3}"#), REUSED, "", 1),
    ("other order", 1, ("/jobs/add", "k", r#"{"b":2,"a":1}"#), REUSED, "", 1),
    ("after that", 1, ("/jobs/add", "k", ADD), OK, "first", 1),
    ("other key", 0, ("/jobs/add", "l", ADD), OK, "", 2),
    ("no key", 0, ("/jobs/add", "", ADD), OK, "", 3),
    ("other operation", 0, ("/jobs/subtract", "k", ADD), OK, "", 4),
    ("other path", 1, ("/jobs", "k", MAIL), OK, "", 5),
    ("later", 0, ("/jobs", "later", LATER), OK, "", 6),
    ("later again", 1, ("/jobs", "later", LATER), OK, "later", 6),
    ("batch", 0, ("/jobs/batch", "k", BATCH), OK, "", 9),
    ("batch again", 1, ("/jobs/batch", "k", BATCH), OK, "batch", 9),
    ("other batch", 0, ("/jobs/batch", "k", BATCH_OTHER), REUSED, "", 9),
    ("own id", 0, ("/jobs", "", OWN), OK, "", 10),
    ("own id again", 1, ("/jobs", "", OWN), OK, "own id", 10),
    ("own id under a key", 1, ("/jobs", "own", OWN), OK, "own id", 10),
    ("own id reused", 0, ("/jobs", "", OWN_OTHER), (409, "job_id_reused"), "", 10),
    ("own id reused under a key", 0, ("/jobs", "m", OWN_OTHER), (409, "job_id_reused"), "", 10),
];

#[tokio::test]
async fn what_is_posted_again_is_answered_again_and_stored_once() {
    let server = Remembering::start(DAY, []).await;
    let mut apis = [api(&server).await, api(&server).await];
    let mut answers: HashMap<&str, Value> = HashMap::new();
    for (what, instance, (path, key, body), expected, same_as, stored) in ROWS {
        let header = [("idempotency-key", *key)];
        let headers = if key.is_empty() { &[][..] } else { &header };
        let answer = post(&apis[*instance], path, headers, body).await;
        assert_eq!(code(&answer), *expected, "{what}: {:#}", answer.body);
        assert_eq!(server.stored().len(), *stored, "{what}");
        if let Some(before) = answers.get(same_as) {
            assert_eq!(answer.body, *before, "{what}");
        } else if *expected == OK {
            assert!(!answers.values().any(|before| *before == answer.body), "{what}");
        }
        answers.insert(what, answer.body);
        // The API keeps nothing: after each post, an instance is started anew.
        let next = api(&server).await;
        std::mem::replace(&mut apis[*instance], next).stop(Duration::from_secs(10)).await;
    }
    let ids = answers["batch"]["job_ids"].as_array().unwrap();
    assert_eq!(ids[2], "another-id-of-theirs");
    let is_v8 =
        |id: &Value| id.as_str().unwrap().len() == 32 && &id.as_str().unwrap()[12..13] == "8";
    assert!(is_v8(&ids[0]) && is_v8(&ids[1]) && ids[0] != ids[1], "{ids:?}");
}

#[tokio::test]
async fn twins_under_way_at_the_same_time_get_the_same_answer() {
    let server = Remembering::start(DAY, []).await;
    let apis = [api(&server).await, api(&server).await];
    let header = [("idempotency-key", "k")];
    let posts = (0..40).map(|number| post(&apis[number % 2], "/jobs/batch", &header, BATCH));
    let answers = join_all(posts).await;
    for answer in &answers {
        assert_eq!((code(answer), &answer.body), (OK, &answers[0].body));
    }
    assert_eq!(server.stored().len(), 3);
}

#[tokio::test]
async fn a_job_of_a_batch_whose_id_was_used_is_told_beside_the_others() {
    let server = Remembering::start(DAY, []).await;
    let api = api(&server).await;
    post(&api, "/jobs", &[], OWN).await;
    let batch = format!(r#"{{"jobs":[{OWN_OTHER},{MAIL},{OWN_OTHER}]}}"#).replacen(
        "the-callers-own-id",
        "an-unused-id-0000",
        1,
    );
    let answer = post(&api, "/jobs/batch", &[], &batch).await;
    assert_eq!((code(&answer), &answer.body["count"]), ((207, "-"), &json!(2)));
    let rejected = &answer.body["rejected"][0];
    assert_eq!((&rejected["index"], &rejected["code"]), (&json!(2), &json!("job_id_reused")));
}

#[tokio::test]
async fn a_batch_of_several_commands_is_one_request_in_each_of_them() {
    let server = Remembering::start(DAY, []).await;
    let api = api(&server).await;
    let header = [("idempotency-key", "k")];
    let batch = format!(r#"{{"jobs":[{}]}}"#, vec![MAIL; 3000].join(","));
    let first = post(&api, "/jobs/batch", &header, &batch).await;
    assert_eq!(code(&first), OK);
    let lines = server.lines();
    assert!(lines.len() > 1 && lines.iter().all(|line| line.contains(r#""key":{"id":""#)));
    let again = post(&api, "/jobs/batch", &header, &batch).await;
    assert_eq!((code(&again), again.body == first.body), (OK, true));
    assert_eq!(server.stored().len(), 3000);
    let other = post(&api, "/jobs/batch", &header, &batch.replacen("ann", "bob", 1)).await;
    assert_eq!((code(&other), &other.body["count"]), (REUSED, &json!(0)));
}

#[tokio::test]
async fn a_job_whose_answer_is_lost_is_stored_once_and_accepted() {
    let server = Remembering::start(DAY, []).await;
    let api = api(&server).await;
    for fault in [Fault::CutAnswer(0), Fault::CutCommand(9), Fault::Say("-ERR internal error")] {
        let before = server.stored().len();
        server.fail_next(fault.clone());
        assert_eq!(code(&post(&api, "/jobs/add", &[], ADD).await), OK, "{fault:?}");
        assert_eq!(server.stored().len(), before + 1, "{fault:?}");
    }
}

/// An API with keys for `ann` and `bob`, and the header of each.
async fn api_with_keys(server: &Remembering) -> (TestApi, [String; 2]) {
    let keys = ["ann", "bob"].map(|name| Key::new(name, [Scope::Post]).unwrap());
    let file = keys.iter().map(|(_, key)| key.line() + "\n").collect::<String>();
    let config = ApiConfig::new(server.link()).with(|api| {
        api.keys = Some(("keys".into(), Keys::parse(&file).unwrap()));
    });
    let api = TestApi::start_with(config).await;
    api.ready().await;
    (api, keys.map(|(secret, _)| format!("Bearer {}", secret.reveal())))
}

#[tokio::test]
async fn callers_neither_read_nor_block_each_others_ids_and_keys() {
    let server = Remembering::start(DAY, []).await;
    let (api, [ann, bob]) = api_with_keys(&server).await;
    let mut ids = Vec::new();
    for (caller, key, body, expected, stored) in [
        (&ann, "k", MAIL, OK, 1),
        (&bob, "k", MAIL, OK, 2),
        (&bob, "k", MAIL, OK, 2),
        (&bob, "l", OWN, OK, 3),
        (&ann, "l", OWN_OTHER, OK, 4),
        (&ann, "l", OWN, REUSED, 4),
        (&ann, "m", OWN, (409, "job_id_reused"), 4),
        (&bob, "l", OWN, OK, 4),
    ] {
        let headers = [("authorization", caller.as_str()), ("idempotency-key", key)];
        let answer = post(&api, "/jobs", &headers, body).await;
        assert_eq!(code(&answer), expected, "{key}, {body}: {:#}", answer.body);
        assert_eq!(server.stored().len(), stored, "{key}, {body}");
        ids.push(answer.body["job_id"].clone());
    }
    assert!(ids[0] != ids[1] && ids[1] == ids[2], "{ids:?}");
    let headers = [("authorization", ann.as_str()), ("content-type", "application/x-ndjson")];
    let mut client = Client::connect(api.address()).await.unwrap();
    let stream = client.send(Method::POST, "/jobs/stream", &headers, OWN_OTHER).await.unwrap();
    assert_eq!(stream.body, json!({ "line": 1, "job_id": "the-callers-own-id" }));
    assert_eq!(server.stored().len(), 4);
    let shown = server.lines().concat();
    assert!(!shown.contains(ann.trim_start_matches("Bearer ")), "the secret is not passed on");
    assert!(server.lines().last().unwrap().contains(r#""by":"ann""#), "{shown}");
}

#[tokio::test]
async fn ids_are_remembered_for_as_long_as_a_job_says_and_the_work_server_can() {
    let server = Remembering::start(60, []).await;
    let api = api(&server).await;
    let job = |seconds: u32| format!(r#"{{"jobtype":"x","args":[],"dedup_for":{seconds}}}"#);
    assert_eq!(code(&post(&api, "/jobs", &[], &job(60)).await), OK);
    assert!(
        server.lines()[0].contains(r#""groups":[{"jobs":1,"for":60}]"#),
        "{:?}",
        server.lines()
    );
    let batch = format!(r#"{{"jobs":[{},{}]}}"#, job(1), job(61));
    for (path, body, pointer) in
        [("/jobs", job(61), "/dedup_for"), ("/jobs/batch", batch, "/jobs/1/dedup_for")]
    {
        let answer = post(&api, path, &[], &body).await;
        assert_eq!(code(&answer), (422, "dedup_for_too_long"), "{path}");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
        assert!(answer.body["detail"].as_str().unwrap().contains("1 to 60"), "{:#}", answer.body);
    }
    assert_eq!(server.stored().len(), 1);
}

#[tokio::test]
async fn what_a_work_server_cannot_keep_is_refused_with_the_way_out() {
    let dedup = r#"{"jobtype":"x","args":[],"dedup_for":60}"#;
    let unsupported = (400, "idempotency_not_supported");
    let invalid = (400, "invalid_idempotency_key");
    let forgotten = (422, "ids_not_remembered");
    // The answers of a Faktory, and of a work server that remembers ids.
    for (path, key, body, with_faktory, with_once) in [
        ("/jobs", "k", MAIL, unsupported, OK),
        ("/jobs/add", "k", ADD, unsupported, OK),
        ("/jobs/batch", "k", BATCH, unsupported, OK),
        ("/jobs/stream", "k", MAIL, unsupported, unsupported),
        ("/jobs", "a b", MAIL, invalid, invalid),
        ("/jobs/add", r#""k"#, ADD, invalid, invalid),
        ("/jobs/batch", r#""""#, BATCH, invalid, invalid),
        ("/jobs", "", dedup, forgotten, OK),
    ] {
        for (once, expected) in [(0, with_faktory), (DAY, with_once)] {
            let server = Remembering::start(once, []).await;
            let api = api(&server).await;
            let mut headers = vec![("idempotency-key", key)];
            headers.retain(|(_, key)| !key.is_empty());
            let answer = post(&api, path, &headers, body).await;
            assert_eq!(code(&answer), expected, "{path}, {key}, {once}: {:#}", answer.body);
            assert_eq!(server.stored().is_empty(), expected != OK, "{path}, {key}, {once}");
            if expected.0 != 202 {
                let detail = answer.body["detail"].as_str().unwrap();
                let way_out = if expected == invalid { "255 visible" } else { "job_id" };
                assert!(detail.contains(way_out), "{detail}");
            }
        }
    }
}

#[tokio::test]
async fn before_the_work_server_is_known_nothing_is_refused_for_good() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let link = faktory_link::LinkConfig::new("127.0.0.1", address.port());
    let api = TestApi::start_with(ApiConfig::new(link)).await;
    let answer = post(&api, "/jobs/add", &[("idempotency-key", "k")], ADD).await;
    assert_eq!(code(&answer), (503, "work_server_unreachable"));
}

/// For a broker that greets with `once`: over one that does not, the key is refused.
#[tokio::test]
async fn a_request_that_is_sent_again_is_stored_once_where_the_broker_remembers_ids() {
    let server = testkit::WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let header = [("idempotency-key", "k")];
    let first = post(&api, "/jobs/batch", &header, BATCH).await;
    let again = post(&api, "/jobs/batch", &header, BATCH).await;
    let other = post(&api, "/jobs/batch", &header, BATCH_OTHER).await;
    let enqueued = server.client().await.info().await.faktory.total_enqueued;
    if server.client().await.greeting.unwrap().abilities.unwrap_or_default().once == 0 {
        assert_eq!((code(&first), enqueued), ((400, "idempotency_not_supported"), 0));
        return;
    }
    assert_eq!((code(&first), code(&again), code(&other)), (OK, OK, REUSED));
    assert_eq!((&first.body, enqueued), (&again.body, 3));
}
