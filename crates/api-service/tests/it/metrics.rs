//! The metrics of the API.

use testkit::{TestApi, WorkServer, http};

async fn scrape(api: &TestApi) -> String {
    let text = http::get_text(api.address(), "/metrics").await.unwrap();
    assert!(
        text.starts_with("HTTP/1.0 200") && text.contains("text/plain; version=0.0.4"),
        "{text}"
    );
    text
}

#[tokio::test]
async fn every_documented_metric_is_served_and_no_other() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let answer =
        http::post(api.address(), "/jobs/add", r#"{"a":1,"b":2,"queue":"a-queue-of-somebody"}"#)
            .await
            .unwrap();
    assert_eq!(answer.status, 202, "{}", answer.body);
    http::get(api.address(), "/a-path-of-somebody").await.unwrap();
    let text = scrape(&api).await;
    // A line `# TYPE` announces each metric by its full name.
    let announced = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let names: std::collections::HashSet<&str> =
        announced.filter(|name| name.starts_with("work_factory")).collect();
    // Workers and the embedded broker have their own metrics.
    for metric in service_runtime::metrics::METRICS
        .iter()
        .filter(|metric| !metric.name.starts_with("work_factory_worker_"))
        .filter(|metric| !metric.name.starts_with("work_factory_broker_"))
    {
        assert!(names.contains(metric.name), "{} is missing:\n{text}", metric.name);
    }
    for name in &names {
        let known = service_runtime::metrics::METRICS.iter().any(|metric| metric.name == *name);
        assert!(known, "{name} is not documented");
    }
    assert!(!text.contains("of-somebody"), "text of users is no label");
    let accepted = text
        .lines()
        .find(|line| line.starts_with("work_factory_jobs_total{outcome=\"accepted\"}"))
        .unwrap();
    assert!(accepted.rsplit(' ').next().unwrap().parse::<f64>().unwrap() >= 1.0, "{accepted}");
}
