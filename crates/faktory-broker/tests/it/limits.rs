//! The bounds on what clients may do. A client that reaches a bound is told so.

use std::net::SocketAddr;
use std::time::Duration;

use admission::Nets;
use faktory_broker::{Broker, BrokerConfig};
use faktory_wire::Reply;
use testkit::{Authority, Strangers, WireClient};

async fn broker(change: impl FnOnce(&mut BrokerConfig)) -> (Broker, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), folder.path().to_owned());
    change(&mut config);
    (Broker::start(config).await.unwrap(), folder)
}

#[tokio::test]
async fn a_connection_over_the_limit_is_told_so_after_its_handshake() {
    let (broker, _folder) = broker(|config| config.max_connections = 2).await;
    let _first = WireClient::connect(broker.address()).await;
    let mut second = WireClient::connect(broker.address()).await;
    let mut third = WireClient::connect(broker.address()).await;
    assert_eq!(third.read().await, Some(Reply::error("too many connections: 3")));
    assert_eq!(third.read().await, None);
    let counts = second.info().await.server.work_factory.unwrap();
    assert_eq!(counts.connections_turned_away.too_many, 1);
    // A connection that ends makes room for the next.
    drop(second);
    let address = broker.address();
    testkit::eventually("the next connection is served", Duration::from_secs(10), || async move {
        let mut client = WireClient::connect(address).await;
        client.send("FLUSH").await;
        (client.read().await == Some(Reply::OK)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_line_over_the_limit_is_answered_and_ends_the_connection() {
    let (broker, _folder) = broker(|config| config.max_line_bytes = 1000).await;
    let mut client = WireClient::connect(broker.address()).await;
    client.send(r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[]}"#).await;
    client.send(&"x".repeat(2000)).await;
    assert_eq!(client.read().await, Some(Reply::OK));
    assert_eq!(client.read().await, Some(Reply::error("line longer than 1000 bytes")));
    assert_eq!(client.read().await, None);
}

#[tokio::test]
async fn a_client_without_a_hello_is_disconnected_after_two_seconds() {
    let (broker, _folder) = broker(|_| {}).await;
    let mut client = WireClient::open(broker.address()).await;
    assert!(matches!(client.read().await, Some(Reply::Simple(_))));
    assert_eq!(client.read().await, None);
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_block_other_clients() {
    let (broker, _folder) = broker(|_| {}).await;
    let mut greedy = WireClient::connect(broker.address()).await;
    let flood = "INFO\r\n".repeat(20_000);
    let flooding = tokio::spawn(async move {
        greedy.send_raw(flood.as_bytes()).await;
        greedy
    });
    let mut other = WireClient::connect(broker.address()).await;
    for number in 0..200 {
        let reply = other
            .ask(&format!(r#"PUSH {{"jid":"job-{number:08}","jobtype":"t","args":[]}}"#))
            .await;
        assert_eq!(reply, Reply::OK);
    }
    flooding.abort();
}

/// The beginning of a command of more bytes than a broker of these tests keeps for one client.
fn half_a_push() -> Vec<u8> {
    let mut line = br#"PUSH {"jid":"job-00000001","jobtype":"t","args":[""#.to_vec();
    line.resize(700 << 10, b'x');
    line
}

#[tokio::test]
async fn large_commands_that_arrive_at_once_have_their_turns_and_small_ones_always_go_on() {
    let (broker, _folder) = broker(|config| {
        config.max_line_bytes = 1 << 20;
        config.max_input_bytes = 1;
    })
    .await;
    let mut first = WireClient::connect(broker.address()).await;
    first.send_raw(&half_a_push()).await;
    // Each of these has sent all of its command, which waits for the memory of the first.
    let mut others = Vec::new();
    for number in 0..3 {
        let mut client = WireClient::connect(broker.address()).await;
        others.push(tokio::spawn(async move {
            let filler = "y".repeat(900 << 10);
            client
                .ask(&format!(
                    r#"PUSH {{"jid":"job-1000000{number}","jobtype":"t","args":["{filler}"]}}"#
                ))
                .await
        }));
    }
    let mut small = WireClient::connect(broker.address()).await;
    let filler = "z".repeat(50 << 10);
    let push = format!(r#"PUSH {{"jid":"job-20000000","jobtype":"t","args":["{filler}"]}}"#);
    assert_eq!(small.ask(&push).await, Reply::OK);
    first.send_raw(b"\"]}\r\n").await;
    assert_eq!(first.read().await, Some(Reply::OK));
    for other in others {
        assert_eq!(other.await.unwrap(), Reply::OK);
    }
}

#[tokio::test]
async fn a_command_that_stands_still_is_refused_once_others_wait_for_its_memory() {
    let (broker, _folder) = broker(|config| {
        config.max_line_bytes = 1 << 20;
        config.max_input_bytes = 1;
    })
    .await;
    let mut slow = WireClient::connect(broker.address()).await;
    slow.send_raw(&half_a_push()).await;
    let mut honest = WireClient::connect(broker.address()).await;
    honest.send_raw(&half_a_push()).await;
    // One of both has the memory and sends nothing more; the other one gets it then.
    let text = "the command arrives too slowly while others wait for BROKER_MAX_INPUT_BYTES; \
                try again later";
    let (told, mut other) = tokio::select! {
        told = slow.read() => (told, honest),
        told = honest.read() => (told, slow),
    };
    assert_eq!(told, Some(Reply::error(text)));
    other.send_raw(b"\"]}\r\n").await;
    assert_eq!(other.read().await, Some(Reply::OK));
    let counts = other.info().await.server.work_factory.unwrap();
    assert_eq!((counts.commands_refused.arriving, counts.commands_refused.unanswered), (1, 0));
}

#[tokio::test]
async fn a_client_that_gets_no_memory_in_time_is_told_so_and_disconnected() {
    let (broker, _folder) = broker(|config| {
        config.max_line_bytes = 1 << 20;
        config.max_input_bytes = 1;
    })
    .await;
    // Each client in turn has the memory for 5 s at least, so that few of them get it within 20 s.
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut client = WireClient::connect(broker.address()).await;
        client.send_raw(&half_a_push()).await;
        clients.spawn(async move { (client.read().await, client.read().await) });
    }
    let text = "too many commands arrive at once for BROKER_MAX_INPUT_BYTES; try again later";
    let mut told_so = 0;
    // The last one may keep the memory, since none waits for it any more.
    for _ in 0..7 {
        let (told, end) = clients.join_next().await.unwrap().unwrap();
        told_so += usize::from(told == Some(Reply::error(text)));
        assert_eq!(end, None);
    }
    assert!(told_so > 0);
}

/// Waits until strangers have been there for longer than a connection may be silent.
async fn overrun(strangers: &Strangers, connections: u64) {
    testkit::eventually("strangers have connected", Duration::from_secs(120), || async {
        (strangers.opened() > connections).then_some(())
    })
    .await;
}

/// Tries to log in as a client does that connects again, until the broker answers.
async fn logged_in(address: SocketAddr, authority: Option<&Authority>) -> WireClient {
    testkit::eventually("the client with the password is let in", Duration::from_secs(60), || {
        WireClient::log_in(address, "secret", authority)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_the_password_gets_in_beside_thousands_of_silent_connections() {
    let authority = Authority::new();
    for (tls, addresses) in [(false, 1), (false, 3000), (true, 3000)] {
        let (broker, _folder) = broker(|config| {
            config.trusted = Nets::nobody();
            config.password = Some("secret".into());
            config.tls = tls.then(|| authority.server_tls("broker").config(&[]));
        })
        .await;
        let strangers = Strangers::start(broker.address(), 2300, addresses, Duration::from_secs(2));
        overrun(&strangers, 2500).await;
        let mut client = logged_in(broker.address(), tls.then_some(&authority)).await;
        // It stays, whoever comes.
        overrun(&strangers, strangers.opened() + 2500).await;
        assert_eq!(client.ask("FLUSH").await, Reply::OK);
        assert!(broker.turned_away().made_room() > 0);
        assert_eq!(broker.turned_away().refused(), 0);
        let counts = client.info().await.server.work_factory.unwrap();
        assert!(counts.connections_turned_away.made_room > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_from_one_address_log_in_at_once_and_none_is_turned_away() {
    let (broker, _folder) = broker(|config| {
        config.trusted = Nets::nobody();
        config.password = Some("secret".into());
        // Each client's hash is computed in its turn.
        config.handshake_timeout = Duration::from_secs(300);
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..1000 {
        let mut client = WireClient::open(broker.address()).await;
        client.read().await.expect("each client is greeted");
        clients.push(client);
    }
    for client in &mut clients {
        client.say_password("secret").await.expect("each client is let in");
    }
    let turned_away = broker.turned_away();
    assert_eq!((turned_away.made_room(), turned_away.refused()), (0, 0));
    assert_eq!(clients[999].ask("FLUSH").await, Reply::OK);
}

#[tokio::test]
async fn clients_that_do_not_read_leave_the_memory_for_commands_to_the_others() {
    let (broker, _folder) = broker(|_| {}).await;
    let push = |number: usize, queue: &str, bytes: usize| {
        let filler = "x".repeat(bytes);
        let job = format!(r#""jid":"job-{number:08}","jobtype":"t","queue":"{queue}""#);
        format!(r#"PUSH {{{job},"args":["{filler}"]}}"#)
    };
    let mut honest = WireClient::connect(broker.address()).await;
    for number in 0..48 {
        assert_eq!(honest.ask(&push(number, "big", 1 << 20)).await, Reply::OK);
    }
    // Each has more replies than the systems take, and behind them commands that each are small
    // enough for its own memory; those of all three together are more than the shared memory.
    let mut greedy = tokio::task::JoinSet::new();
    let (sent, mut has_sent) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..3 {
        let mut client = WireClient::connect(broker.address()).await;
        let (line, sent) = (push(100, "small", 60 << 10) + "\r\n", sent.clone());
        greedy.spawn(async move {
            client.send_raw("FETCH big\r\n".repeat(16).as_bytes()).await;
            loop {
                let sending = client.send_raw(line.as_bytes());
                // Nothing more is read from this client.
                if tokio::time::timeout(Duration::from_secs(2), sending).await.is_err() {
                    break;
                }
            }
            let _ = sent.send(());
            std::future::pending::<()>().await;
        });
    }
    for _ in 0..3 {
        has_sent.recv().await;
    }
    assert_eq!(honest.ask(&push(200, "h", 200 << 10)).await, Reply::OK);
}

#[tokio::test]
async fn without_room_on_the_disk_pushes_are_refused_and_counted() {
    // No disk has so much room.
    let (broker, _folder) = broker(|config| config.min_free_bytes = u64::MAX).await;
    let mut client = WireClient::connect(broker.address()).await;
    client.send(r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[]}"#).await;
    let refused = "disk full: less than BROKER_MIN_FREE is left; try again later";
    assert_eq!(client.read().await, Some(Reply::error(refused)));
    client.send(r#"ACK {"jid":"job-00000001"}"#).await;
    assert_eq!(client.read().await, Some(Reply::OK));
    let counts = client.info().await.server.work_factory.unwrap();
    assert_eq!(counts.pushes_refused, 1);
    assert!(counts.disk_free > 0);
}
