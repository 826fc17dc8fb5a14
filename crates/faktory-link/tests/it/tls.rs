//! A work server with TLS: which certificates are trusted, and what the errors say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faktory_broker::{Broker, BrokerConfig};
use faktory_link::{
    Connection, EncodedJob, JobOutcome, LinkConfig, LinkError, LinkPool, Pusher, Tls, TlsFault,
};
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
    // Larger than a record of TLS and than what the system takes at once.
    let pusher = Pusher::new(LinkPool::new(server.link()).unwrap());
    let large = "x".repeat(100_000);
    let jobs = (500..600).map(|number| {
        let jid = format!("job-{number:08}");
        let json = format!(
            r#"{{"jid":"{jid}","jobtype":"t","args":["{large}"],"retry":25,"reserve_for":1800}}"#
        );
        EncodedJob::new(jid, json)
    });
    let outcomes = pusher.push(jobs.collect(), Instant::now() + Duration::from_secs(30)).await;
    assert!(outcomes.iter().all(|outcome| *outcome == JobOutcome::Stored), "{outcomes:?}");
    assert_eq!(server.client().await.info().await.faktory.total_enqueued, 600);
}

fn push(number: u32) -> Vec<u8> {
    format!("PUSHB [{{\"jid\":\"job-{number:08}\",\"jobtype\":\"t\",\"args\":[]}}]\r\n")
        .into_bytes()
}

/// The error of a connection that cannot be made.
async fn failure(link: LinkConfig) -> LinkError {
    Connection::open(&link, None).await.unwrap_err()
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_refused_and_the_error_names_the_setting() {
    let server = WorkServer::broker_with_tls().await;
    let link = server.link();
    let stranger = Authority::new().link_tls("127.0.0.1");
    let unknown = failure(LinkConfig { tls: Some(stranger), ..link.clone() }).await;
    assert_eq!(unknown.tls_fault(), Some(TlsFault::UnknownAuthority));
    let text = unknown.to_string();
    assert!(
        text.starts_with("TLS failed: ") && text.contains("UnknownIssuer (LinkConfig::tls says"),
        "{text}"
    );
    let elsewhere =
        Tls { server_name: "elsewhere.example".try_into().unwrap(), ..link.tls.clone().unwrap() };
    let name = failure(LinkConfig { tls: Some(elsewhere), ..link }).await;
    assert_eq!(name.tls_fault(), Some(TlsFault::WrongName));
    let text = name.to_string();
    assert!(
        text.contains("elsewhere.example") && text.contains("(Tls::server_name says"),
        "{text}"
    );
}

#[tokio::test]
async fn tls_on_one_side_only_ends_soon_and_the_error_names_the_right_url() {
    let server = WorkServer::broker_with_tls().await;
    let link = server.link();
    let soon = Duration::from_secs(1);
    let plain = failure(LinkConfig { tls: None, connect_timeout: soon, ..link.clone() }).await;
    assert!(plain.to_string().contains("it is reached by tcp+tls://"), "{plain}");
    // With a password, the client waits for the greeting, and the server for the client's bytes.
    for connect_timeout in [soon, soon * 4] {
        let password = Some("secret".into());
        let silent =
            failure(LinkConfig { tls: None, password, connect_timeout, ..link.clone() }).await;
        assert!(
            silent.to_string().contains("a work server with TLS is reached by tcp+tls://"),
            "{silent}"
        );
    }
    let server = WorkServer::broker().await;
    let other = failure(LinkConfig { tls: link.tls, connect_timeout: soon, ..server.link() }).await;
    assert!(
        other.to_string().contains("a work server without TLS is reached by tcp://"),
        "{other}"
    );
    assert_eq!(other.tls_fault(), None);
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_the_clients() {
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
    assert_eq!(without.tls_fault(), Some(TlsFault::ClientCertificateWanted));
    let expected = "CertificateRequired (the work server asks for a client certificate: \
                    LinkConfig::tls says which)";
    assert!(without.to_string().contains(expected), "{without}");
    drop(connection);
    broker.stop().await.unwrap();
}
