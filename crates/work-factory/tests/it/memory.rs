//! Memory after a burst: what large commands and bodies took goes back to the system when their
//! clients are gone, although the process then has nothing to do.
#![cfg(target_os = "linux")]

use std::net::SocketAddr;
use std::time::Duration;

use testkit::{TestProcess, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::binary;

const CLIENTS: usize = 16;
const MIB: usize = 1 << 20;
/// What a process may keep beside what it had at its start: the store, the threads, and blocks
/// below the size that is given back at once take some.
const KEPT: usize = 96 * MIB;
const PATIENCE: Duration = Duration::from_secs(60);

/// The bytes of a line of `/proc/…/status`.
fn status(process: &TestProcess, name: &str) -> usize {
    let path = format!("/proc/{}/status", process.id().unwrap());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Sends `head` and then `bytes` of what never ends, and keeps the connection open.
async fn send_a_part(address: SocketAddr, hello: bool, head: String, bytes: usize) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = [0; 256];
    if hello {
        assert!(stream.read(&mut answer).await.unwrap() > 0);
        stream.write_all(b"HELLO {\"v\":2}\r\n").await.unwrap();
        assert!(stream.read(&mut answer).await.unwrap() > 0);
    }
    let part = vec![b'x'; MIB];
    let _ = stream.write_all(head.as_bytes()).await;
    for _ in 0..bytes / MIB {
        if stream.write_all(&part).await.is_err() {
            break;
        }
    }
    std::future::pending().await
}

/// Lets clients send parts until the process has grown by `grown`, has them all go away, and waits
/// until it has given the memory back. Returns the most memory that it had, beside that at first.
async fn burst(process: &TestProcess, send: impl Fn() -> Sending, grown: usize) -> usize {
    let before = status(process, "VmRSS");
    for round in 0..2 {
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(send());
        }
        eventually("the process takes memory", PATIENCE, || async {
            (status(process, "VmRSS") > before + grown).then_some(())
        })
        .await;
        clients.shutdown().await;
        eventually(&format!("memory is given back in round {round}"), PATIENCE, || async {
            (status(process, "VmRSS") < before + KEPT).then_some(())
        })
        .await;
    }
    status(process, "VmHWM") - before
}

type Sending = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

#[tokio::test]
async fn a_broker_gives_back_what_unfinished_lines_took_and_takes_little_more_than_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    let limit = [("BROKER_MAX_INPUT_BYTES", "160MiB")];
    let process = binary::command(&["broker"], folder.path(), &limit);
    let address = process.address_on("FAKTORY_URL=tcp").await;
    let send =
        || -> Sending { Box::pin(send_a_part(address, true, r#"PUSH {"jid":""#.into(), 60 * MIB)) };
    let most = burst(&process, send, 120 * MIB).await;
    assert!(most < 2 * 160 * MIB, "{} MiB", most / MIB);
}

#[tokio::test]
async fn an_api_gives_back_what_unfinished_bodies_took() {
    let folder = tempfile::tempdir().unwrap();
    // Without a worker in the process nothing is freed that would make the allocator tidy up.
    let nowhere = [("FAKTORY_URL", "tcp://127.0.0.1:1")];
    let process = binary::command(&["api"], folder.path(), &nowhere);
    let address = process.listening("the API listens").await;
    let head = "POST /jobs HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
                content-length: 16000000\r\n\r\n";
    let send = || -> Sending { Box::pin(send_a_part(address, false, head.into(), 15 * MIB)) };
    let most = burst(&process, send, 180 * MIB).await;
    assert!(most < 2 * 256 * MIB, "{} MiB", most / MIB);
}
