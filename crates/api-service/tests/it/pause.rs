//! An API process that is stopped while a request waits for the work server, and runs again.

use std::sync::Arc;
use std::time::Duration;

use testkit::{Quirky, TestProcess, eventually, http};
use tokio::sync::{Notify, mpsc};

const PAUSES: usize = 2;
/// Longer than a request may take.
const PAUSE: Duration = Duration::from_secs(12);

#[tokio::test]
async fn a_request_whose_answer_came_while_the_api_was_stopped_has_the_real_outcome() {
    let (pushed, mut pushes) = mpsc::channel(8);
    let go = Arc::new(Notify::new());
    let may_answer = Arc::clone(&go);
    let server = Quirky::start(move |_, mut session| {
        let (pushed, may_answer) = (pushed.clone(), Arc::clone(&may_answer));
        async move {
            session.welcome().await;
            while let Some(line) = session.line().await {
                if line != "PUSHB []" {
                    pushed.send(()).await.unwrap();
                    may_answer.notified().await;
                }
                session.send("$2\r\n{}\r\n").await;
            }
        }
    })
    .await;
    let url = format!("tcp://{}", server.address());
    let variables = [
        ("FAKTORY_URL", url.as_str()),
        ("BIND_ADDR", "127.0.0.1:0"),
        ("API_REQUEST_TIMEOUT", "10s"),
    ];
    let api = TestProcess::start(env!("CARGO_BIN_EXE_api-service"), &[], &variables);
    let address = api.listening("the API listens").await;
    eventually("ready", Duration::from_secs(30), || async {
        http::get(address, "/ready").await.ok().filter(|answer| answer.status == 200)
    })
    .await;
    for _ in 0..PAUSES {
        let request = tokio::spawn(http::post(address, "/jobs/add", r#"{"a":1,"b":2}"#));
        pushes.recv().await.unwrap();
        api.signal("STOP").await;
        go.notify_one();
        tokio::time::sleep(PAUSE).await;
        api.signal("CONT").await;
        let answer = request.await.unwrap().unwrap();
        assert_eq!(answer.status, 202, "{:#}\n{}", answer.body, api.output());
    }
    // Without an answer of the work server the outcome is unknown, as ever.
    let answer = http::post(address, "/jobs/add", r#"{"a":1,"b":2}"#).await.unwrap();
    assert_eq!(answer.status, 504, "{:#}", answer.body);
}
