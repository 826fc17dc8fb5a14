//! `benchmark link`: a command on the far side of a link.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

use testkit::{TestApi, WorkServer, eventually};

use crate::{benchmark, skip};

/// Whether this machine allows network namespaces.
pub(crate) fn is_allowed() -> bool {
    match link_emulator::Link::start(link_emulator::LinkConfig::both_ways(
        link_emulator::Settings::default(),
    )) {
        Ok(_) => true,
        Err(error) => {
            skip(&error.to_string());
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_on_the_far_side_reaches_a_forwarded_port_after_its_round_trips() {
    if !is_allowed() {
        return;
    }
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    api.ready().await;
    let port = api.address().port().to_string();
    let run = move || {
        benchmark()
            .args([
                "link",
                "--rtt",
                "60ms",
                "--loss",
                "0%",
                "--rate",
                "20mbit",
                "--forward",
                &port,
                "--",
            ])
            .args([
                "curl",
                "-sS",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code} %{time_total}",
                &format!("http://10.77.0.1:{port}/health"),
            ])
            .output()
            .unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let (said, log) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    let (status, seconds) = said.split_once(' ').unwrap_or_else(|| panic!("{said} {log}"));
    assert_eq!(status, "200", "{log}");
    assert!(
        seconds.parse::<f64>().unwrap() >= 0.12,
        "a handshake and a request take two round trips: {seconds}"
    );
    assert!(log.contains("link: near to far"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_the_command_is_published_and_its_exit_code_is_handed_on() {
    if !is_allowed() {
        return;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut child = benchmark()
        .args(["link", "--rtt", "20ms", "--publish", &port.to_string(), "--"])
        .args([env!("CARGO_BIN_EXE_benchmark"), "part"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let order = serde_json::json!({ "Broker": { "bind": format!("10.77.0.2:{port}") } });
    let mut orders = child.stdin.take().unwrap();
    writeln!(orders, "{order}").unwrap();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let link = faktory_link::LinkConfig::new("127.0.0.1", address.port());
    let connection = eventually("published", Duration::from_secs(30), || {
        let link = link.clone();
        async move { faktory_link::Connection::open(&link, None).await.ok() }
    })
    .await;
    let info = connection.ask(&faktory_wire::Command::Info).await.unwrap();
    assert!(matches!(info, faktory_wire::Reply::Bulk(_)), "{info:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    let status = benchmark().args(["link", "--", "sh", "-c", "exit 7"]).status().unwrap();
    assert_eq!(status.code(), Some(7));
}

#[test]
fn a_killed_benchmark_leaves_no_process_and_no_namespace_behind() {
    if !is_allowed() {
        return;
    }
    let mut child = benchmark()
        .args(["link", "--rtt", "10ms", "--", "sh", "-c", "echo $$; exec sleep 600"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let sleeper = format!("/proc/{}/ns/net", line.trim());
    let namespace = std::fs::read_link(&sleeper).unwrap();
    assert_ne!(namespace, std::fs::read_link("/proc/self/ns/net").unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    // The kernel tells the command to end, and removes the namespace with its last process.
    let give_up = std::time::Instant::now() + Duration::from_secs(20);
    while std::fs::read_link(&sleeper).is_ok() {
        assert!(std::time::Instant::now() < give_up, "the command outlives the benchmark");
        std::thread::sleep(Duration::from_millis(20));
    }
}
