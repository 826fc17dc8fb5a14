//! A work server that speaks TLS: who is trusted, who is not, and what is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faktory_broker::{Broker, BrokerConfig};
use faktory_link::{Connection, EncodedJob, JobOutcome, LinkConfig, LinkPool, Pusher, Tls};
use faktory_wire::{Command, Reply};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use testkit::{Authority, WorkServer};
use tokio::time::Instant;

#[tokio::test]
async fn commands_are_pipelined_and_jobs_arrive() {
    let server = WorkServer::broker_with_tls().await;
    let connection = Connection::open(&server.link(), None).await.unwrap();
    let lines = (0..500).map(push).collect();
    for pending in connection.submit_together(lines).await {
        assert_eq!(pending.await.unwrap(), Reply::Bulk(Bytes::from_static(b"{}")));
    }
    connection.close().await;
    // Larger than a record of TLS and what the system takes at once.
    let pusher = Pusher::new(LinkPool::new(server.link()).unwrap());
    let large = "x".repeat(100_000);
    let jobs = (500..600).map(|number| {
        let jid = format!("job-{number:08}");
        let json = format!(
            r#"{{"jid":"{jid}","jobtype":"t","args":["{large}"],"retry":25,"reserve_for":1800}}"#
        );
        EncodedJob { jid, json: json.into_bytes() }
    });
    let outcomes = pusher.push(jobs.collect(), Instant::now() + Duration::from_secs(30)).await;
    assert!(outcomes.iter().all(|outcome| *outcome == JobOutcome::Stored), "{outcomes:?}");
    assert_eq!(server.client().await.info().await.faktory.total_enqueued, 600);
}

fn push(number: u32) -> Vec<u8> {
    format!("PUSHB [{{\"jid\":\"job-{number:08}\",\"jobtype\":\"t\",\"args\":[]}}]\r\n")
        .into_bytes()
}

/// What is told where a connection can't be made.
async fn failure(link: LinkConfig) -> String {
    Connection::open(&link, None).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_server_that_is_not_vouched_for_is_left_and_the_reason_told() {
    let server = WorkServer::broker_with_tls().await;
    let link = server.link();
    let stranger = Authority::new().link_tls("127.0.0.1");
    let unknown = failure(LinkConfig { tls: Some(stranger), ..link.clone() }).await;
    assert!(
        unknown.starts_with("TLS failed: ")
            && unknown.contains("UnknownIssuer (FAKTORY_TLS_CA_FILE says"),
        "{unknown}"
    );
    let tls = link.tls.clone().unwrap();
    let name = failure(LinkConfig {
        tls: Some(Tls { server_name: "elsewhere.example".try_into().unwrap(), ..tls }),
        ..link.clone()
    })
    .await;
    assert!(
        name.contains("elsewhere.example") && name.contains("(FAKTORY_TLS_SERVER_NAME says"),
        "{name}"
    );
    // Plain to a port that speaks TLS, and the other way round, end soon and say something.
    let soon = Duration::from_secs(1);
    let plain = failure(LinkConfig { tls: None, connect_timeout: soon, ..link.clone() }).await;
    assert!(plain.contains("it is reached by tcp+tls://"), "{plain}");
    // A password waits for the greeting, and the server for the client's word.
    let password = Some("secret".into());
    for patience in [soon, soon * 4] {
        let silent = failure(LinkConfig {
            tls: None,
            password: password.clone(),
            connect_timeout: patience,
            ..link.clone()
        })
        .await;
        assert!(silent.contains("one that speaks TLS is reached by tcp+tls://"), "{silent}");
    }
    let server = WorkServer::broker().await;
    let other = failure(LinkConfig { tls: link.tls, connect_timeout: soon, ..server.link() }).await;
    assert!(other.contains("it is reached by tcp://"), "{other}");
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_is_shown_ours() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let (certificate, key) = servers.certify("server", &["127.0.0.1"]);
    let chain =
        |path| CertificateDer::pem_file_iter(path).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(
        Arc::new(clients.roots()),
        Arc::clone(&provider),
    )
    .build()
    .unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let tls = builder
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(certificate), PrivateKeyDer::from_pem_file(key).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let config = BrokerConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)), folder.path().to_owned());
    let broker =
        Broker::start(BrokerConfig { tls: Some(Arc::new(tls.unwrap())), ..config }).await.unwrap();

    let (certificate, key) = clients.certify("us", &["us"]);
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = builder.with_root_certificates(servers.roots());
    let with = builder
        .clone()
        .with_client_auth_cert(chain(certificate), PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    let tls = |config| {
        Some(Tls { config: Arc::new(config), server_name: "127.0.0.1".try_into().unwrap() })
    };
    let link = LinkConfig::new("127.0.0.1", broker.address().port());
    let connection =
        Connection::open(&LinkConfig { tls: tls(with), ..link.clone() }, None).await.unwrap();
    assert!(connection.ask(&Command::Info).await.is_ok());
    let without = failure(LinkConfig { tls: tls(builder.with_no_client_auth()), ..link }).await;
    assert!(
        without.contains("CertificateRequired (it asks for our certificate: FAKTORY_TLS_CERT_FILE"),
        "{without}"
    );
    drop(connection);
    broker.stop().await.unwrap();
}
