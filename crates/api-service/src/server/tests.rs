//! Tasks of the API that end although they were to run on.

use testkit::Logged;

use super::*;

/// An API without a work server, with a file of keys.
async fn api() -> Api {
    let mut config = ApiConfig::new(LinkConfig::new("127.0.0.1", 9));
    config.api.keys_file = Some("keys".into());
    config.api.keys = Some(("keys".into(), service_runtime::Keys::default()));
    Api::start(config).await.unwrap()
}

#[tokio::test]
async fn a_task_that_panics_is_told_in_the_log_and_to_the_owner_of_the_api() {
    let mut api = api().await;
    let log = Logged::here();
    api.background.spawn("one that panics", async { panic!("deliberate") });
    assert_eq!(api.failed().await.name(), "one that panics");
    let lines = log.lines_with("one that panics");
    assert!(lines.len() == 1 && lines[0].contains("ERROR"), "{lines:?}");
    api.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn the_end_of_serving_and_of_sending_is_told_too() {
    let mut api = api().await;
    api.serving.abort_all();
    assert_eq!(api.failed().await.name(), "serving");
    api.state.pusher.close().await;
    assert_eq!(api.failed().await.name(), "sending");
}
