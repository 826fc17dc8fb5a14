//! More load than the work server can handle: surplus jobs are refused, accepted jobs are stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api_service::ApiConfig;
use serde_json::Value;
use testkit::{Quirky, TestApi, http};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// The jobs a second that the server stores, over all connections.
const PER_SECOND: u32 = 500;

/// A work server that stores jobs one after another, and counts them.
async fn slow_server(stored: Arc<AtomicUsize>) -> Quirky {
    let turn = Arc::new(Mutex::new(()));
    Quirky::start(move |_, mut session| {
        let (stored, turn) = (Arc::clone(&stored), Arc::clone(&turn));
        async move {
            session.welcome().await;
            while let Some(line) = session.line().await {
                let jobs = u32::try_from(line.matches("\"jid\"").count()).unwrap();
                if jobs > 0 {
                    let _turn = turn.lock().await;
                    tokio::time::sleep(Duration::from_secs(1) * jobs / PER_SECOND).await;
                    stored.fetch_add(jobs as usize, Ordering::SeqCst);
                }
                session.send("$2\r\n{}\r\n").await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn surplus_jobs_are_refused_and_accepted_jobs_are_stored() {
    let stored = Arc::new(AtomicUsize::new(0));
    let server = slow_server(Arc::clone(&stored)).await;
    let mut config = ApiConfig::new(server.link());
    config.link.read_timeout = Duration::from_secs(60);
    config.link.max_wait = Duration::from_millis(500);
    let api = TestApi::start_with(config).await;
    api.ready().await;
    let mut clients = JoinSet::new();
    for _ in 0..100 {
        let address = api.address();
        clients.spawn(async move {
            let mut client = http::Client::connect(address).await.unwrap();
            let mut codes = Vec::new();
            let batch = format!(
                "{{\"jobs\":[{}]}}",
                vec![r#"{"operation":"add","a":1,"b":2}"#; 20].join(",")
            );
            for _ in 0..10 {
                let answer = client.post("/jobs/batch", batch.clone()).await.unwrap();
                let code =
                    answer.body.get("code").and_then(Value::as_str).unwrap_or("stored").to_owned();
                assert_eq!(
                    answer.headers.contains_key("retry-after"),
                    code == "overloaded",
                    "{code}"
                );
                codes.push(code);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            codes
        });
    }
    let codes: Vec<String> = clients.join_all().await.into_iter().flatten().collect();
    let accepted = codes.iter().filter(|code| *code == "stored").count();
    let overloaded = codes.iter().filter(|code| *code == "overloaded").count();
    assert_eq!(accepted + overloaded, 1000, "{codes:?}");
    assert!(overloaded > 0 && accepted > 0, "{accepted} accepted, {overloaded} refused");
    assert_eq!(
        stored.load(Ordering::SeqCst),
        20 * accepted,
        "refused jobs were not sent, accepted jobs arrived once"
    );
}
