//! Everything that clients send is bounded, and each refusal names the variable of its bound.

use std::time::Duration;

use admission::Nets;
use api_service::ApiConfig;
use axum::http::Method;
use testkit::{Authority, Strangers, TestApi, WireClient, WorkServer, eventually, http};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

async fn api(change: impl FnOnce(&mut ApiConfig)) -> (TestApi, WorkServer) {
    let server = WorkServer::broker().await;
    let mut config = ApiConfig::new(server.link());
    change(&mut config);
    let api = TestApi::start_with(config).await;
    api.ready().await;
    (api, server)
}

fn code(answer: &http::Answer) -> &str {
    answer.body.get("code").and_then(|code| code.as_str()).unwrap()
}

/// A body of exactly so many bytes.
fn body_of(bytes: usize) -> String {
    let frame = r#"{"jobtype":"x","args":[""]}"#.len();
    format!(r#"{{"jobtype":"x","args":["{}"]}}"#, "a".repeat(bytes - frame))
}

#[tokio::test]
async fn a_body_of_the_limit_passes_and_one_byte_more_does_not() {
    let (api, server) = api(|config| config.api.max_body_bytes = 100_000).await;
    assert_eq!(http::post(api.address(), "/jobs", body_of(100_000)).await.unwrap().status, 202);
    let answer = http::post(api.address(), "/jobs", body_of(100_001)).await.unwrap();
    assert_eq!((answer.status.as_u16(), code(&answer)), (413, "body_too_large"));
    assert_eq!(answer.body.get("limit"), Some(&serde_json::json!(100_000)));
    assert!(answer.body.to_string().contains("API_MAX_BODY_BYTES"));
    assert_eq!(server.client().await.info().await.faktory.total_enqueued, 1);
}

#[tokio::test]
async fn a_job_of_its_limit_passes_and_one_byte_more_does_not_however_it_comes() {
    let (api, server) = api(|config| config.api.max_job_bytes = Some(10_000)).await;
    let (fits, large) = (body_of(10_000), body_of(10_001));
    assert_eq!(http::post(api.address(), "/jobs", fits.clone()).await.unwrap().status, 202);
    let single = http::post(api.address(), "/jobs", large.clone()).await.unwrap();
    let packed = gzip(large.as_bytes(), flate2::Compression::default());
    let packed = encoded(api.address(), packed).await;
    let batch = format!(r#"{{"jobs":[{fits},{large},{fits},{large}]}}"#);
    let batch = http::post(api.address(), "/jobs/batch", batch).await.unwrap();
    for (answer, pointers) in
        [(single, [""].as_slice()), (packed, &[""]), (batch, &["/jobs/1", "/jobs/3"])]
    {
        assert_eq!((answer.status.as_u16(), code(&answer)), (422, "job_too_large"));
        assert_eq!(answer.body.get("limit"), Some(&serde_json::json!(10_000)));
        assert!(answer.body.to_string().contains("API_MAX_JOB_BYTES"));
        let errors = answer.body.get("errors").and_then(|errors| errors.as_array()).unwrap();
        let found: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(found, pointers);
    }
    // Uncompressed gzip is longer than what it holds.
    let stored = gzip(fits.as_bytes(), flate2::Compression::none());
    assert!(stored.len() > 10_000);
    assert_eq!(encoded(api.address(), stored).await.status, 202);
    let all_fit = format!(r#"{{"jobs":[{}]}}"#, vec![fits; 3].join(","));
    assert_eq!(http::post(api.address(), "/jobs/batch", all_fit).await.unwrap().status, 202);
    assert_eq!(server.client().await.info().await.faktory.total_enqueued, 5);
}

fn gzip(text: &[u8], level: flate2::Compression) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    std::io::Write::write_all(&mut encoder, text).unwrap();
    encoder.finish().unwrap()
}

/// Posts a job as gzip.
async fn encoded(address: std::net::SocketAddr, job: Vec<u8>) -> http::Answer {
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let mut client = http::Client::connect(address).await.unwrap();
    client.send(Method::POST, "/jobs", &headers, job).await.unwrap()
}

/// Sends raw HTTP and reads the answer to the end of the connection.
async fn raw(address: std::net::SocketAddr, parts: &[&str]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for part in parts {
        stream.write_all(part.as_bytes()).await.unwrap();
    }
    let mut answer = String::new();
    let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_string(&mut answer))
        .await
        .unwrap();
    answer
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_is_cut_off_too() {
    let (api, _server) = api(|config| config.api.max_body_bytes = 1000).await;
    let head = "POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: \
                application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("400\r\n{}\r\n", "a".repeat(1024));
    let answer = raw(api.address(), &[head, &chunk, &chunk, "0\r\n\r\n"]).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");
}

#[tokio::test]
async fn a_client_that_waits_for_leave_to_send_is_not_invited_to_send_too_much() {
    let (api, _server) = api(|config| config.api.max_body_bytes = 1000).await;
    let head = "POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: \
                application/json\r\nexpect: 100-continue\r\ncontent-length: 2000\r\n\r\n";
    let answer = raw(api.address(), &[head]).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn the_refusal_of_a_job_with_half_a_million_members_is_short() {
    let (api, _server) = api(|_| {}).await;
    let members: Vec<String> = (0..500_000).map(|n| format!("\"m{n}\":0")).collect();
    let answer =
        http::post(api.address(), "/jobs/add", format!("{{{}}}", members.join(","))).await.unwrap();
    assert_eq!((answer.status.as_u16(), code(&answer)), (422, "unknown_field"));
    assert!(answer.body.to_string().len() < 1000);
}

#[tokio::test]
async fn a_body_that_pauses_too_long_is_refused() {
    let (api, server) = api(|config| config.body_idle_timeout = Duration::from_millis(300)).await;
    let head = "POST /jobs/add HTTP/1.1\r\nhost: localhost\r\ncontent-type: \
                application/json\r\ncontent-length: 13\r\n\r\n";
    let answer = raw(api.address(), &[head, "{\"a\":1,"]).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_too_slow"), "{answer}");
    assert_eq!(server.client().await.info().await.faktory.total_enqueued, 0);
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_refused_when_the_time_for_the_request_is_over() {
    let (api, server) = api(|_| {}).await;
    let encoded: [(&str, &[u8]); 2] =
        [("identity", b" "), ("gzip", &[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 3, 255, 255])];
    for (encoding, begin) in encoded {
        let stream = TcpStream::connect(api.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut read, mut write) = stream.into_split();
        let head = format!(
            "POST /jobs/add HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-encoding: {encoding}\r\nprefer: wait=1\r\ncontent-length: 60000\r\n\r\n"
        );
        write.write_all(&[head.as_bytes(), begin].concat()).await.unwrap();
        let dripping = async {
            while write.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // The answer may have come, and the connection is closed.
            std::future::pending::<()>().await
        };
        let answer = async {
            let mut answer = [0; 12];
            read.read_exact(&mut answer).await.map(|_| answer)
        };
        let answer = tokio::select! {
            answer = tokio::time::timeout(Duration::from_secs(60), answer) => answer,
            () = dripping => unreachable!(),
        };
        assert_eq!(&answer.expect(encoding).unwrap(), b"HTTP/1.1 408", "{encoding}");
    }
    assert_eq!(server.client().await.info().await.faktory.total_enqueued, 0);
}

#[tokio::test]
async fn a_batch_of_the_limit_passes_and_one_job_more_does_not() {
    let (api, _server) = api(|config| config.api.max_batch_jobs = 3).await;
    let batch = |count: usize| {
        format!(r#"{{"jobs":[{}]}}"#, vec![r#"{"operation":"add","a":1,"b":2}"#; count].join(","))
    };
    assert_eq!(http::post(api.address(), "/jobs/batch", batch(3)).await.unwrap().status, 202);
    let answer = http::post(api.address(), "/jobs/batch", batch(4)).await.unwrap();
    assert_eq!((answer.status.as_u16(), code(&answer)), (413, "too_many_jobs"));
}

#[tokio::test]
async fn distinct_queues_are_bounded_and_known_queues_are_still_accepted() {
    let (api, _server) = api(|config| config.api.max_queues = 2).await;
    let job = |queue: &str| format!(r#"{{"a":1,"b":2,"queue":"{queue}"}}"#);
    for queue in ["one", "two", "one"] {
        assert_eq!(http::post(api.address(), "/jobs/add", job(queue)).await.unwrap().status, 202);
    }
    let answer = http::post(api.address(), "/jobs/add", job("three")).await.unwrap();
    assert_eq!((answer.status.as_u16(), code(&answer)), (422, "too_many_queues"));
    let batch = r#"{"jobs":[{"operation":"add","a":1,"b":2,"queue":"one"},
        {"operation":"add","a":1,"b":2,"queue":"four"}]}"#;
    let answer = http::post(api.address(), "/jobs/batch", batch).await.unwrap();
    let pointer = answer.body.pointer("/errors/0/pointer").unwrap().as_str();
    assert_eq!((code(&answer), pointer), ("too_many_queues", Some("/jobs/1/queue")));
    assert_eq!(http::post(api.address(), "/jobs/add", job("two")).await.unwrap().status, 202);
}

#[tokio::test]
async fn a_connection_with_half_a_head_is_closed() {
    let (api, _server) = api(|_| {}).await;
    let answer = raw(api.address(), &["POST /jobs HTTP/1.1\r\nhost: localhost\r\n"]).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    let mut wire = WireClient::open(api.address()).await;
    wire.half_close().await;
}

/// Waits until so many more strangers have connected.
async fn come(strangers: &Strangers, connections: u64) {
    let goal = strangers.opened() + connections;
    eventually("strangers have connected", Duration::from_secs(120), || async {
        (strangers.opened() > goal).then_some(())
    })
    .await;
}

const HEALTH: &str = "GET /health HTTP/1.1\r\nhost: localhost\r\n";

/// A request on a connection that stays open: the head of its answer, where there is one.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> Option<String> {
    stream.write_all(request.as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    let mut answer = vec![0; 64 << 10];
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut answer));
    match read.await.unwrap() {
        Ok(0) | Err(_) => None,
        Ok(length) => Some(String::from_utf8_lossy(answer.get(..length)?).into_owned()),
    }
}

/// The whole answer to a request after which the connection ends.
async fn all(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> String {
    let request = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_string(&mut answer));
    // A TLS connection may end without a farewell.
    let _ = read.await.unwrap();
    answer
}

/// Connects, and asks once.
async fn connected(
    address: std::net::SocketAddr,
    authority: Option<&Authority>,
    request: &str,
) -> Option<(Box<dyn Stream>, String)> {
    let stream = TcpStream::connect(address).await.ok()?;
    let mut stream: Box<dyn Stream> = match authority {
        None => Box::new(stream),
        Some(authority) => {
            let tls = authority.link_tls("127.0.0.1");
            let connector = tokio_rustls::TlsConnector::from(tls.config);
            Box::new(connector.connect(tls.server_name, stream).await.ok()?)
        }
    };
    let answer = ask(&mut stream, request).await?;
    Some((stream, answer))
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Keys with one key of the scope `read`, and that key as a header.
fn keys() -> (service_runtime::Keys, String) {
    let (secret, key) =
        service_runtime::Key::new("reader", [service_runtime::Scope::Read]).unwrap();
    let header = format!("authorization: Bearer {}\r\n\r\n", secret.reveal());
    (service_runtime::Keys::parse(&key.line()).unwrap(), header)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_a_key_gets_in_beside_thousands_of_silent_connections() {
    let authority = Authority::new();
    for (has_tls, addresses) in [(false, 1), (false, 3000), (true, 3000)] {
        let server = WorkServer::broker().await;
        let (keys, header) = keys();
        let mut config = ApiConfig::new(server.link());
        config.trusted = Nets::nobody();
        config.max_connections = 2000;
        config.api.keys = Some(("keys".into(), keys));
        config.api.tls = has_tls.then(|| authority.server_tls("api"));
        let api = TestApi::start_with(config).await;
        let strangers = Strangers::start(api.address(), 2300, addresses, Duration::from_secs(2));
        come(&strangers, 2500).await;
        let (address, request) = (api.address(), format!("{HEALTH}{header}"));
        let authority = has_tls.then_some(&authority);
        let (mut stream, answer) =
            eventually("the client is let in", Duration::from_secs(60), || async {
                connected(address, authority, &request).await
            })
            .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        // It stays, whoever comes. An idle connection is closed after a time: it asks meanwhile.
        let asking = async {
            loop {
                let answer = ask(&mut stream, &request).await.expect("the connection is kept");
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        };
        tokio::select! {
            () = come(&strangers, 1500) => {}
            () = asking => {}
        }
        let metrics = request.replace("/health", "/metrics");
        let answer = all(&mut stream, &metrics).await;
        let line = "work_factory_http_connections_turned_away_total{reason=\"made_room\"}";
        let shown = answer.lines().find(|shown| shown.starts_with(line)).expect(line);
        assert!(!shown.ends_with(" 0"), "{shown}");
    }
}

#[tokio::test]
async fn a_request_without_a_key_does_not_keep_a_place_and_one_with_a_key_does() {
    let server = WorkServer::broker().await;
    let (keys, header) = keys();
    let mut config = ApiConfig::new(server.link());
    config.trusted = Nets::nobody();
    config.max_connections = 2;
    config.api.keys = Some(("keys".into(), keys));
    let api = TestApi::start_with(config).await;
    let without = format!("{HEALTH}\r\n");
    let with = format!("{HEALTH}{header}");
    let (mut stranger, _) = connected(api.address(), None, &without).await.unwrap();
    // One place of the two is for strangers.
    let (mut known, _) = connected(api.address(), None, &with).await.unwrap();
    assert_eq!(ask(&mut stranger, &without).await, None);
    let (_other, _) = connected(api.address(), None, &without).await.unwrap();
    let (_another, _) = connected(api.address(), None, &without).await.unwrap();
    assert!(ask(&mut known, &without).await.is_some());
    assert!(ask(&mut known, &with).await.is_some());
}

#[tokio::test]
async fn a_connection_above_the_limit_is_refused_in_words() {
    let (api, _server) = api(|config| config.max_connections = 2).await;
    let address = api.address();
    let request = format!("{HEALTH}\r\n");
    let mut held = Vec::new();
    for _ in 0..2 {
        // The connection that waited for the API to be ready may not be closed yet.
        let (stream, _) = eventually("there is a place", Duration::from_secs(30), || async {
            connected(address, None, &request)
                .await
                .filter(|(_, answer)| answer.starts_with("HTTP/1.1 200"))
        })
        .await;
        held.push(stream);
    }
    let post = "POST /jobs/add HTTP/1.1\r\nhost: localhost\r\ncontent-type: \
                application/json\r\ncontent-length: 13\r\n\r\n{\"a\":1,\"b\":2}";
    let answer = raw(address, &[post]).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    for part in ["too_many_connections", "retry-after: 1", "connection: close"] {
        assert!(answer.contains(part), "{part} not in {answer}");
    }
    drop(held);
    let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let metrics = eventually("there is a place again", Duration::from_secs(30), || async {
        Some(raw(address, &[request]).await).filter(|answer| answer.starts_with("HTTP/1.1 200"))
    })
    .await;
    let line = "work_factory_http_connections_turned_away_total{reason=\"too_many\"}";
    assert!(
        metrics.lines().any(|found| found.starts_with(line) && !found.ends_with(" 0")),
        "{metrics}"
    );
}
