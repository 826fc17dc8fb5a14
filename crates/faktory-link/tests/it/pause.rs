//! A paused process: its runtime does not run while the server answers, and finds every deadline
//! passed. What has arrived counts; what has not is waited for or given up as ever.

use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::Duration;

use bytes::Bytes;
use faktory_link::{Connection, JobOutcome, LinkConfig, LinkError, LinkPool, Phase, Pusher};
use faktory_wire::Reply;
use testkit::{Quirky, Session};
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

use crate::push::job;

/// Generous, because the server has this long for its part on a crowded machine.
const LIMIT: Duration = Duration::from_secs(5);
/// A pause in which every deadline passes.
const PAUSE: Duration = Duration::from_secs(6);

/// A scripted server on a thread and a runtime of its own, and the signals between it and the test.
struct Elsewhere {
    link: LinkConfig,
    /// Tells the server to go on.
    go: mpsc::UnboundedSender<()>,
    /// The server tells that it has gone on.
    gone: blocking::Receiver<()>,
    /// Dropped, it ends the thread.
    _end: tokio::sync::oneshot::Sender<()>,
}

/// The server's ends of the signals.
#[derive(Clone)]
struct Signals {
    go: Arc<Mutex<mpsc::UnboundedReceiver<()>>>,
    gone: blocking::Sender<()>,
}

impl Signals {
    async fn wait(&self) {
        self.go.lock().await.recv().await;
    }

    fn tell(&self) {
        let _ = self.gone.send(());
    }
}

impl Elsewhere {
    fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(Session, Signals) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (go, told) = mpsc::unbounded_channel();
        let (tell, gone) = blocking::channel();
        let (end, ended) = tokio::sync::oneshot::channel();
        let (started, link) = blocking::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let signals = Signals { go: Arc::new(Mutex::new(told)), gone: tell };
                let server = Quirky::start(move |_, session| script(session, signals.clone()));
                let server = server.await;
                started.send(server.link()).unwrap();
                let _ = ended.await;
            });
        });
        let link = LinkConfig {
            connect_timeout: LIMIT,
            read_timeout: LIMIT,
            write_timeout: LIMIT,
            ..link.recv().unwrap()
        };
        Self { link, go, gone, _end: end }
    }

    /// Stops the runtime of the test until the server has gone on and every deadline has passed.
    fn pause(&self) {
        let begun = std::time::Instant::now();
        self.go.send(()).unwrap();
        self.gone.recv().unwrap();
        std::thread::sleep(PAUSE.saturating_sub(begun.elapsed()));
    }
}

#[tokio::test]
async fn a_reply_that_came_during_a_pause_is_delivered() {
    let server = Elsewhere::start(|mut session, signals| async move {
        session.welcome().await;
        while session.line().await.is_some() {
            signals.wait().await;
            session.send("$1\r\nx\r\n").await;
            signals.tell();
        }
    });
    let connection = Connection::open(&server.link, None).await.unwrap();
    for _ in 0..2 {
        let pending = connection.submit(b"FETCH q\r\n".to_vec()).await.unwrap();
        server.pause();
        assert_eq!(pending.await.unwrap(), Reply::Bulk(Bytes::from_static(b"x")));
    }
    // And the same server, silent.
    let pending = connection.submit(b"FETCH q\r\n".to_vec()).await.unwrap();
    let lost = pending.await.unwrap_err();
    assert!(matches!(*lost.cause, LinkError::Timeout { phase: Phase::Reply, .. }), "{lost}");
}

#[tokio::test]
async fn a_reply_of_which_a_part_came_during_a_pause_has_its_time_for_the_rest() {
    let server = Elsewhere::start(|mut session, signals| async move {
        session.welcome().await;
        while session.line().await.is_some() {
            signals.wait().await;
            session.send("$9\r\nhalf").await;
            signals.tell();
            signals.wait().await;
            session.send("-half\r\n").await;
            signals.tell();
        }
    });
    let connection = Connection::open(&server.link, None).await.unwrap();
    for _ in 0..2 {
        let mut pending = connection.submit(b"FETCH q\r\n".to_vec()).await.unwrap();
        server.pause();
        // Some turns of the runtime: the first part is read, with the deadline long over.
        assert!(tokio::time::timeout(LIMIT / 10, &mut pending).await.is_err());
        server.go.send(()).unwrap();
        assert_eq!(pending.await.unwrap(), Reply::Bulk(Bytes::from_static(b"half-half")));
        server.gone.recv().unwrap();
    }
}

#[tokio::test]
async fn replies_before_the_end_of_a_connection_are_read_though_a_write_fails_first() {
    for _ in 0..2 {
        let server = Elsewhere::start(|mut session, signals| async move {
            session.welcome().await;
            session.line().await;
            signals.wait().await;
            session.send("$1\r\nx\r\n").await;
            session.reset();
            signals.tell();
        });
        let connection = Connection::open(&server.link, None).await.unwrap();
        let first = connection.submit(b"FETCH q\r\n".to_vec()).await.unwrap();
        server.pause();
        // The writer is polled before the reader, or after it.
        let beat = connection.submit(b"BEAT {}\r\n".to_vec());
        // Handed in meanwhile; it learns the cause of the end, as the others do.
        let behind = async {
            tokio::task::yield_now().await;
            connection.submit(b"BEAT {}\r\n".to_vec()).await
        };
        let (beat, behind, first) = tokio::join!(beat, behind, first);
        assert_eq!(first.unwrap(), Reply::Bulk(Bytes::from_static(b"x")));
        for beat in [beat, behind] {
            let lost = match beat {
                Err(lost) => lost,
                Ok(pending) => pending.await.unwrap_err(),
            };
            assert!(!matches!(*lost.cause, LinkError::ClosedHere), "{lost}");
        }
    }
}

#[tokio::test]
async fn a_greeting_that_came_during_a_pause_is_answered_and_the_next_reply_has_its_time() {
    let server = Elsewhere::start(|mut session, signals| async move {
        signals.wait().await;
        session.send("+HI {\"v\":2,\"i\":1000,\"s\":\"salt-of-8-bytes\"}\r\n").await;
        signals.tell();
        if session.line().await.is_some_and(|hello| hello.contains("pwdhash")) {
            session.send("+OK\r\n").await;
            session.silence().await;
        }
    });
    let link = LinkConfig { password: Some("secret".into()), ..server.link.clone() };
    for _ in 0..2 {
        let mut opening = std::pin::pin!(Connection::open(&link, None));
        // The connection is made, and the greeting is waited for.
        assert!(tokio::time::timeout(LIMIT / 4, &mut opening).await.is_err());
        server.pause();
        opening.await.unwrap();
    }
}

#[tokio::test]
async fn bytes_that_the_system_could_take_during_a_pause_are_written() {
    let server = Elsewhere::start(|mut session, signals| async move {
        session.welcome().await;
        signals.wait().await;
        let length = session.line().await.unwrap().len();
        signals.tell();
        session.send(&format!("+{length}\r\n")).await;
        session.silence().await;
    });
    let connection = Connection::open(&server.link, None).await.unwrap();
    // More than the buffers of both sides take.
    let large = vec![b'x'; 64 << 20];
    let mut writing = std::pin::pin!(connection.submit([&large, &b"\r\n"[..]].concat()));
    assert!(tokio::time::timeout(LIMIT / 4, &mut writing).await.is_err());
    // The server begins to read, and can't end before this side goes on.
    server.go.send(()).unwrap();
    std::thread::sleep(PAUSE);
    let pending = writing.await.unwrap();
    assert_eq!(pending.await.unwrap(), Reply::Simple(large.len().to_string().into()));
}

#[tokio::test]
async fn a_push_whose_reply_came_during_a_pause_has_its_outcome() {
    let server = Elsewhere::start(|mut session, signals| async move {
        session.welcome().await;
        while session.line().await.is_some() {
            signals.wait().await;
            session.send("$2\r\n{}\r\n").await;
            signals.tell();
        }
    });
    let link = LinkConfig { read_timeout: Duration::from_secs(60), ..server.link.clone() };
    let pusher = Pusher::new(LinkPool::new(link).unwrap());
    for number in 0..2 {
        let deadline = Instant::now() + LIMIT;
        let jobs = vec![job(&format!("job-{number:08}"))];
        let mut pushing = std::pin::pin!(pusher.push(jobs, deadline));
        while pusher.status().in_flight == 0 {
            tokio::select! {
                biased;
                outcomes = &mut pushing => panic!("{outcomes:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        // The command leaves.
        let _ = tokio::time::timeout(LIMIT / 4, &mut pushing).await;
        server.pause();
        assert_eq!(pushing.await, [JobOutcome::Stored]);
    }
    // Without a reply the outcome is unknown, at the deadline and not at the reply's.
    let outcomes = pusher.push(vec![job("job-00000009")], Instant::now() + LIMIT).await;
    assert!(matches!(outcomes.as_slice(), [JobOutcome::Unknown(_)]), "{outcomes:?}");
}

/// A server with TLS on a thread of its own that answers one line after the other, each when told.
fn answers_by_tls(
    authority: &testkit::Authority,
    mut go: mpsc::UnboundedReceiver<()>,
    gone: blocking::Sender<()>,
) -> std::net::SocketAddr {
    use std::io::{BufRead, BufReader, Write};

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let (certificate, key) = authority.certify("server", &["127.0.0.1"]);
    let chain = CertificateDer::pem_file_iter(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            chain.collect::<Result<_, _>>().unwrap(),
            PrivateKeyDer::from_pem_file(key).unwrap(),
        )
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let session = rustls::ServerConnection::new(Arc::new(tls)).unwrap();
        let mut stream = BufReader::new(rustls::StreamOwned::new(session, stream));
        stream.get_mut().write_all(b"+HI {\"v\":2}\r\n").unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        stream.get_mut().write_all(b"+OK\r\n").unwrap();
        while stream.read_line(&mut line).is_ok_and(|count| count > 0) {
            if go.blocking_recv().is_none() {
                return;
            }
            let _ = stream.get_mut().write_all(b"$1\r\nx\r\n");
            let _ = gone.send(());
        }
    });
    address
}

#[tokio::test]
async fn a_reply_by_tls_that_came_during_a_pause_is_delivered() {
    let authority = testkit::Authority::new();
    let (go, told) = mpsc::unbounded_channel();
    let (tell, gone) = blocking::channel();
    let address = answers_by_tls(&authority, told, tell);
    let link = LinkConfig {
        tls: Some(authority.link_tls("127.0.0.1")),
        read_timeout: LIMIT,
        ..LinkConfig::new("127.0.0.1", address.port())
    };
    let connection = Connection::open(&link, None).await.unwrap();
    for _ in 0..2 {
        let pending = connection.submit(b"FETCH q\r\n".to_vec()).await.unwrap();
        go.send(()).unwrap();
        gone.recv().unwrap();
        std::thread::sleep(PAUSE);
        assert_eq!(pending.await.unwrap(), Reply::Bulk(Bytes::from_static(b"x")));
    }
    let lost = connection.submit(b"FETCH q\r\n".to_vec()).await.unwrap().await.unwrap_err();
    assert!(matches!(*lost.cause, LinkError::Timeout { phase: Phase::Reply, .. }), "{lost}");
}
