//! The host that a request names, with keys and without, and proxies in front of the API.

use std::net::SocketAddr;

use api_service::ApiConfig;
use service_runtime::{Key, Keys, Scope};
use testkit::{TestApi, WorkServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const JOB: &str = r#"{"a":1,"b":2}"#;

/// The status and the code of the answer to a request with these lines of its head.
async fn attempt(address: SocketAddr, head: &[&str]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{JOB}",
        head.join("\r\n"),
        JOB.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The connection may be kept: the answer ends with its JSON.
    while !answer.ends_with(b"}") && stream.read_buf(&mut answer).await.unwrap() > 0 {}
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let code = body.get("code").and_then(|code| code.as_str()).unwrap_or_default();
    (status, code.to_owned())
}

#[tokio::test]
async fn a_request_without_one_host_is_refused_on_every_path_with_keys_and_without() {
    let server = WorkServer::broker().await;
    let (secret, key) = Key::new("ci", [Scope::Post, Scope::Read]).unwrap();
    let bearer = format!("authorization: Bearer {}", secret.reveal());
    let keys = Keys::parse(&key.line()).unwrap();
    for keys in [None, Some(("keys".into(), keys))] {
        let api = TestApi::start_with(ApiConfig::new(server.link()).with(|api| api.keys = keys));
        let api = api.await;
        api.ready().await;
        for path in ["POST /jobs/add", "GET /metrics", "GET /health", "GET /ready", "GET /nothing"]
        {
            let line = format!("{path} HTTP/1.1");
            for hosts in [
                &[] as &[&str],
                &["host: localhost", "host: localhost"],
                &["host: localhost", "host: evil.example"],
                &["host: local host"],
            ] {
                let head = [&[line.as_str()], hosts, &[bearer.as_str()]].concat();
                let (status, code) = attempt(api.address(), &head).await;
                assert_eq!((status, code.as_str()), (400, "invalid_host"), "{path} {hosts:?}");
            }
        }
        let head = ["POST /jobs/add HTTP/1.1", "host: localhost", &bearer];
        assert_eq!(attempt(api.address(), &head).await.0, 202);
    }
}

#[tokio::test]
async fn without_keys_the_host_of_the_target_counts_more_than_the_header() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let own = ["POST http://localhost/jobs/add HTTP/1.1", "host: localhost"];
    assert_eq!(attempt(api.address(), &own).await.0, 202);
    let foreign = ["POST http://evil.example/jobs/add HTTP/1.1", "host: localhost"];
    assert_eq!(attempt(api.address(), &foreign).await, (403, "host_not_allowed".into()));
}

#[tokio::test]
async fn an_api_without_keys_serves_nobody_through_a_proxy_that_it_does_not_know() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let refused = (403, "proxy_not_trusted".to_owned());
    for sign in ["x-forwarded-for: 192.0.2.9", "forwarded: for=192.0.2.9", "via: 1.1 proxy"] {
        let head = ["POST /jobs/add HTTP/1.1", "host: 127.0.0.1:3000", sign];
        assert_eq!(attempt(api.address(), &head).await, refused, "{sign}");
    }
    // As nginx before 1.29.7 does it where only proxy_pass is configured.
    let nginx = ["POST /jobs/add HTTP/1.0", "Host: 127.0.0.1:3000", "Connection: close"];
    assert_eq!(attempt(api.address(), &nginx).await, refused);
    let old = ["POST /jobs/add HTTP/1.0", "host: localhost"];
    assert_eq!(attempt(api.address(), &old).await.0, 202, "HTTP/1.0 by itself is no sign");
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_clients_own_name_for_the_api_is_judged() {
    let server = WorkServer::broker().await;
    let config = ApiConfig::new(server.link()).with(|api| {
        api.trusted_proxies = "127.0.0.1".parse().unwrap();
        api.allowed_hosts = vec!["jobs.example".into()];
    });
    let api = TestApi::start_with(config).await;
    api.ready().await;
    for (told, status, code) in [
        ("jobs.example", 202, ""),
        ("evil.example", 403, "host_not_allowed"),
        ("", 403, "proxy_tells_no_name"),
    ] {
        let told = format!("x-forwarded-host: {told}");
        let head =
            ["POST /jobs/add HTTP/1.1", "host: 127.0.0.1:3000", "x-forwarded-for: ::9", &told];
        assert_eq!(attempt(api.address(), &head).await, (status, code.to_owned()), "{told}");
    }
}
