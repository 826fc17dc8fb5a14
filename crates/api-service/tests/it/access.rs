//! Access: requests without a key, with a wrong key, with a key without the scope, to another host
//! name, from another origin.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use api_service::{Api, ApiConfig};
use hyper::Method;
use service_runtime::{Key, Keys, Scope};
use testkit::{TestApi, WorkServer, eventually, http};

const JOB: &str = r#"{"a":1,"b":2}"#;

/// Adds a key to a file, and returns its secret.
fn add_key(file: &Path, name: &str, scopes: &[Scope]) -> String {
    let (secret, key) = Key::new(name, scopes.iter().copied()).unwrap();
    let there = std::fs::read_to_string(file).unwrap_or_default();
    std::fs::write(file, format!("{there}{}\n", key.line())).unwrap();
    secret.reveal().to_owned()
}

/// An API that reads its keys from this file.
async fn with_keys(server: &WorkServer, file: &Path) -> TestApi {
    let keys = Keys::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
    let config = ApiConfig::new(server.link()).with(|api| api.keys = Some((file.to_owned(), keys)));
    let api = TestApi::start_with(config).await;
    api.ready().await;
    api
}

/// The answer to a request: its status, its code, and its header `WWW-Authenticate`.
async fn attempt(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, String, String) {
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    let body = if method == Method::POST { JOB } else { "" };
    let answer =
        http::Client::connect(address).await.unwrap().send(method, path, &all, body).await.unwrap();
    let asks = answer.headers.get("www-authenticate").map_or("", |value| value.to_str().unwrap());
    let code = answer.body.get("code").and_then(|code| code.as_str()).unwrap_or_default();
    (answer.status.as_u16(), code.to_owned(), asks.to_owned())
}

/// A request and its answer: a description, the path (posted to, but for paths that are read), the
/// header `Authorization`, status, code, and the challenge after the realm (`-`: no challenge).
type Attempt<'a> = (&'a str, &'a str, Option<&'a str>, u16, &'a str, &'a str);

/// All attempts, with a key for each scope and a key that the API does not know.
fn attempts<'a>(post: &'a str, read: &'a str, wrong: &'a str) -> Vec<Attempt<'a>> {
    let basic = "Basic eDp5";
    let invalid = r#", error="invalid_token""#;
    let needs_post = r#", error="insufficient_scope", scope="post""#;
    let needs_read = r#", error="insufficient_scope", scope="read""#;
    vec![
        ("no key", "/jobs/add", None, 401, "key_missing", ""),
        ("no key, a batch", "/jobs/batch", None, 401, "key_missing", ""),
        ("no key, a stream", "/jobs/stream", None, 401, "key_missing", ""),
        ("no key, metrics", "/metrics", None, 401, "key_missing", ""),
        ("another scheme than Bearer", "/jobs/add", Some(basic), 401, "key_missing", ""),
        ("a wrong key", "/jobs/add", Some(wrong), 401, "key_unknown", invalid),
        ("a key without the scope", "/jobs/add", Some(read), 403, "scope_missing", needs_post),
        ("a key without the scope", "/metrics", Some(post), 403, "scope_missing", needs_read),
        ("the right key", "/jobs/add", Some(post), 202, "", "-"),
        ("the right key", "/metrics", Some(read), 200, "", "-"),
        ("health needs no key", "/health", None, 200, "", "-"),
        ("ready needs no key", "/ready", None, 200, "", "-"),
        ("no such path", "/nothing", None, 404, "not_found", "-"),
    ]
}

#[tokio::test]
async fn a_request_is_answered_by_its_key_and_the_scope_of_its_route() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let post = format!("Bearer {}", add_key(&file, "poster", &[Scope::Post]));
    let read = format!("Bearer {}", add_key(&file, "reader", &[Scope::Read]));
    let wrong = format!("Bearer {}", Key::new("x", [Scope::Post]).unwrap().0.reveal());
    let server = WorkServer::broker().await;
    let api = with_keys(&server, &file).await;
    let address = api.address();
    for (what, path, key, status, code, challenge) in attempts(&post, &read, &wrong) {
        let method = match path {
            "/metrics" | "/health" | "/ready" => Method::GET,
            _ => Method::POST,
        };
        let headers: Vec<_> = key.map(|key| ("authorization", key)).into_iter().collect();
        let answer = attempt(address, method, path, &headers).await;
        println!("{what:28} {path:12} {answer:?}");
        let asks = match challenge {
            "-" => String::new(),
            _ => format!(r#"Bearer realm="work-factory"{challenge}"#),
        };
        assert_eq!(answer, (status, code.to_owned(), asks), "{what}");
    }
    // A page of another origin has no key, so with keys neither Host nor Origin matters.
    let headers = [("origin", "http://evil.example"), ("authorization", post.as_str())];
    assert_eq!(attempt(address, Method::POST, "/jobs/add", &headers).await.0, 202);
}

#[tokio::test]
async fn without_keys_other_origins_and_foreign_host_names_are_refused() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let address = api.address();
    let own = format!("http://localhost:{}", address.port());
    for (what, headers, expected) in [
        ("curl", vec![("host", "localhost")], (202, "")),
        (
            "its own page",
            vec![("host", &own["http://".len()..]), ("origin", own.as_str())],
            (202, ""),
        ),
        (
            "a page of another origin",
            vec![("host", "localhost"), ("origin", "http://evil.example")],
            (403, "origin_not_allowed"),
        ),
        (
            "a page without origin",
            vec![("host", "localhost"), ("origin", "null")],
            (403, "origin_not_allowed"),
        ),
        ("a foreign host name", vec![("host", "evil.example")], (403, "host_not_allowed")),
    ] {
        let (status, code, _) = attempt_as(address, "/jobs/add", &headers).await;
        println!("{what:28} {status} {code}");
        assert_eq!((status, code.as_str()), expected, "{what}");
    }
    let (status, code, _) = attempt_as(address, "/metrics", &[("host", "evil.example")]).await;
    assert_eq!((status, code.as_str()), (403, "host_not_allowed"));
}

/// The answer to a request with these headers, `Host` included: its status, its code, its head.
async fn attempt_as(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, String, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let head: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (method, body) = if path == "/metrics" { ("GET", "") } else { ("POST", JOB) };
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{head}connection: close\r\ncontent-type: \
         application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    (
        status,
        body.get("code").and_then(|code| code.as_str()).unwrap_or_default().to_owned(),
        head.to_owned(),
    )
}

#[tokio::test]
async fn keys_are_reloaded_without_a_restart_and_a_faulty_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let first = format!("Bearer {}", add_key(&file, "first", &[Scope::Post]));
    let server = WorkServer::broker().await;
    let api = with_keys(&server, &file).await;
    let address = api.address();
    let status = |key: String| async move {
        attempt(address, Method::POST, "/jobs/add", &[("authorization", &key)]).await.0
    };
    let becomes = |key: &str, expected: u16| {
        let key = key.to_owned();
        async move {
            eventually("the keys are reloaded", Duration::from_secs(10), || {
                let key = key.clone();
                async move { (status(key).await == expected).then_some(()) }
            })
            .await;
        }
    };
    let second = format!("Bearer {}", add_key(&file, "second", &[Scope::Post]));
    becomes(&second, 202).await;
    assert_eq!(status(first.clone()).await, 202);

    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "half a li").unwrap();
    tokio::time::sleep(4 * service_runtime::LOOK_EVERY).await;
    assert_eq!(status(first.clone()).await, 202, "a faulty file changes nothing");

    let line = good.lines().find(|line| line.starts_with("second")).unwrap();
    std::fs::write(&file, format!("{line}\n")).unwrap();
    becomes(&first, 401).await;
    assert_eq!(status(second.clone()).await, 202);

    // An empty file lets nobody in.
    std::fs::write(&file, "").unwrap();
    becomes(&second, 401).await;
}

#[tokio::test]
async fn an_api_with_a_file_named_but_not_loaded_does_not_start() {
    let link = faktory_link::LinkConfig::new("127.0.0.1", 1);
    let keys = ApiConfig::new(link.clone()).with(|api| api.keys_file = Some("keys".into()));
    let refused = Api::start(keys).await.err().unwrap();
    assert_eq!(refused.to_string(), "API_KEYS_FILE names a file that was not loaded");
    let certificate = ApiConfig::new(link).with(|api| api.tls_cert_file = Some("pem".into()));
    let refused = Api::start(certificate).await.err().unwrap();
    assert_eq!(refused.to_string(), "API_TLS_CERT_FILE names a file that was not loaded");
}
