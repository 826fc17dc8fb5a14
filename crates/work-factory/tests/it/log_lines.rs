//! Texts that others send, in every field that they can set: none makes a line of the log, or
//! brings a character into it that moves a cursor, colours a terminal or turns letters around.

use std::path::Path;
use std::time::Duration;

use faktory_wire::{Command, FailReport, Hello, is_plain};
use serde_json::{Value, json};
use testkit::{Quirky, TestProcess, WireClient, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::binary;

/// A line break and a line that looks like ours, a cleared screen, C1, DEL, directions, separators
/// of lines and paragraphs, a mark of byte order, a tag.
const HOSTILE: &str = "a\r\n2026-01-01T00:00:00Z ERROR FORGED\r\u{1b}[2J\u{1b}]0;t\u{7}\u{7f}\
                       \u{9b}31m\u{85}\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{2029}\u{feff}\
                       \u{e0041}";
/// The same where a line ends at LF.
const HOSTILE_LINE: &str =
    "FORGED\r\u{1b}[2J\u{7}\u{7f}\u{9b}31m\u{85}\u{202e}\u{2066}\u{200f}\u{2028}\u{feff}";

/// Checks all lines of a process; `format` is that of its log.
fn check(process: &TestProcess, format: &str) {
    let output = process.output();
    let mut lines_of_log = 0;
    for line in output.lines() {
        assert!(line.chars().all(is_plain), "{line:?}");
        let is_of_log = match format {
            "json" => serde_json::from_str::<Value>(line).is_ok_and(|value| value.is_object()),
            _ => line.split_whitespace().next().is_some_and(|word| {
                word.len() == "2026-01-01T00:00:00.000000Z".len() && word.ends_with('Z')
            }),
        };
        lines_of_log += u32::from(is_of_log);
        let is_of_screen = line.starts_with("  data ");
        assert!(is_of_log || is_of_screen || !line.contains("FORGED"), "{line:?}");
        assert!(!line.starts_with("2026-01-01"), "{line:?}");
    }
    assert!(lines_of_log > 5 && output.contains("FORGED"), "nothing was logged: {output}");
}

async fn forge_by_the_wire(client: &mut WireClient) {
    let job = |queue: &str, more: Value| {
        let mut job = json!({
            "jid": format!("job-{HOSTILE}"), "jobtype": HOSTILE, "queue": queue, "retry": 0,
            "args": [HOSTILE], "custom": {HOSTILE: HOSTILE},
        });
        job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        job
    };
    let unpackable = json!({ "jobtype": "add", "custom": { "wf": { "v": 1, HOSTILE: HOSTILE } } });
    for job in [
        job("default", json!({})),
        job("default", json!({ "jobtype": "add" })),
        job("default", json!({ "jobtype": "add", "args": [{ HOSTILE: 1 }, HOSTILE] })),
        job("default", unpackable),
        job(HOSTILE, json!({})),
        job("default", json!({ "at": HOSTILE })),
        job("default", json!({ "retry": HOSTILE })),
        // An end of a reservation is reported for a job that another client then fails.
        job("elsewhere", json!({})),
    ] {
        client.ask(&format!("PUSH {job}")).await;
        client.ask(&format!("PUSHB [{job}]")).await;
    }
    client.fetch("elsewhere").await.unwrap();
    for jid in [format!("job-{HOSTILE}"), HOSTILE.to_owned()] {
        let fail = FailReport {
            jid: jid.clone(),
            errtype: HOSTILE.into(),
            message: HOSTILE.into(),
            backtrace: vec![HOSTILE.into()],
        };
        for command in [Command::Fail(Box::new(fail)), Command::Ack(jid)] {
            client.send_raw(&command.to_line()).await;
            client.read().await.unwrap();
        }
    }
    for verb in ["", "ACK ", "FAIL ", "BEAT ", "MUTATE ", "QUEUE ", "FETCH "] {
        client.ask(&format!("{verb}{HOSTILE_LINE}")).await;
    }
    client.ask(&format!("BEAT {}", json!({ "wid": HOSTILE, "current_state": HOSTILE }))).await;
}

/// A worker with a hostile id, host name and labels.
async fn join_by_the_wire(address: std::net::SocketAddr) -> WireClient {
    let mut client = WireClient::open(address).await;
    client.read().await.unwrap();
    let hello = Hello {
        v: 2,
        wid: Some(HOSTILE.into()),
        hostname: Some(HOSTILE.into()),
        pid: Some(1),
        labels: Some(vec![HOSTILE.into()]),
        ..Hello::default()
    };
    let mut line = Vec::new();
    hello.encode(&mut line);
    client.send_raw(&line).await;
    client.read().await.unwrap();
    client
}

/// Sends a request byte for byte, and reads until the connection is closed.
async fn request(address: std::net::SocketAddr, head: &str, body: &str) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let text = format!(
        "{head}host: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(text.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
}

async fn forge_by_http(address: std::net::SocketAddr) {
    let direction = "\u{202e}FORGED\u{2066}\u{85}\u{2028}";
    let jobs = [
        json!({ "jobtype": direction, "args": [HOSTILE], "custom": { HOSTILE: HOSTILE } }),
        json!({ "jobtype": HOSTILE, "args": [], "queue": HOSTILE, "job_id": HOSTILE }),
        json!({ HOSTILE: HOSTILE }),
    ];
    for body in jobs.iter().map(Value::to_string).chain([HOSTILE.to_owned()]) {
        for path in ["/jobs", "/jobs/add", "/jobs/batch", "/jobs/stream"] {
            request(address, &format!("POST {path} HTTP/1.1\r\n"), &body).await;
        }
    }
    for head in [
        format!("GET /FORGED{direction} HTTP/1.1\r\n"),
        "GET /FORGED%0A%1B[2J%E2%80%AE HTTP/1.1\r\n".to_owned(),
        format!("GET /health HTTP/1.1\r\nx-request-id: {direction}\r\n"),
        "GET /health HTTP/1.1\r\nx-request-id: \u{1b}[2J\r\n".to_owned(),
        format!("GET /health HTTP/1.1\r\nauthorization: Bearer {direction}\r\n"),
        format!("GET /health HTTP/1.1\r\ncontent-encoding: {direction}\r\n"),
        format!("FORGED{direction} /health HTTP/1.1\r\n"),
        "FORGED-METHOD /health HTTP/1.1\r\n".to_owned(),
    ] {
        request(address, &head, "").await;
    }
}

async fn forge_everywhere(format: &str, folder: &Path) {
    // Also the folder's name, which stands in the log and on the first screen.
    let folder = folder.join("FORGED\u{1b}[2J\u{202e}\u{85}");
    let mut process = binary::start(&folder, &[("LOG_FORMAT", format), ("RUST_LOG", "debug")]);
    let broker = process.address_on("  broker ").await;
    let api = process.address_on("  API ").await;
    let mut worker = join_by_the_wire(broker).await;
    forge_by_the_wire(&mut worker).await;
    forge_by_the_wire(&mut WireClient::connect(broker).await).await;
    forge_by_http(api).await;
    process.line_with("job failed").await;
    process.line_with("/FORGED").await;
    process.signal("TERM").await;
    assert_eq!(process.exit_code().await, Some(0));
    check(&process, format);
    assert!(process.output().contains("job type"), "{}", process.output());
    assert!(!process.output().contains("args="), "{}", process.output());
}

#[tokio::test]
async fn no_text_of_a_client_forges_a_line_of_the_text_log() {
    let folder = tempfile::tempdir().unwrap();
    forge_everywhere("text", folder.path()).await;
}

#[tokio::test]
async fn no_text_of_a_client_forges_a_line_of_the_json_log() {
    let folder = tempfile::tempdir().unwrap();
    forge_everywhere("json", folder.path()).await;
}

/// A work server that answers everything with hostile text; the first connections already to HELLO.
async fn hostile_server() -> Quirky {
    Quirky::start(|number, mut session| async move {
        match number % 4 {
            0 => return session.send(&format!("-ERR {HOSTILE_LINE}\n")).await,
            1 => return session.send(&format!("+{HOSTILE_LINE}\n")).await,
            _ => {}
        }
        session.welcome().await;
        let job = json!({ "jid": format!("job-{HOSTILE}"), "jobtype": HOSTILE, "args": [HOSTILE] });
        let mut fetches = 0;
        while let Some(line) = session.line().await {
            fetches += u32::from(line.starts_with("FETCH"));
            match (line.split(' ').next(), fetches) {
                (Some("FETCH"), 1) => session.send_bulk_in_pieces(&job.to_string()).await,
                (Some("FETCH"), 2) => session.send(&format!("+{HOSTILE_LINE}\r\n")).await,
                _ => session.send(&format!("-ERR {HOSTILE_LINE}\r\n")).await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn no_text_of_a_work_server_forges_a_line_of_the_log() {
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let server = hostile_server().await;
        let url = format!("tcp://{}", server.address());
        let variables =
            [("FAKTORY_URL", url.as_str()), ("LOG_FORMAT", format), ("RUST_LOG", "debug")];
        let mut process = binary::start(folder.path(), &variables);
        let api = process.address_on("  API ").await;
        for _ in 0..5 {
            request(api, "POST /jobs/add HTTP/1.1\r\n", r#"{"a":1,"b":2}"#).await;
        }
        eventually("the texts are logged", Duration::from_secs(60), || async {
            let output = process.output();
            ["heartbeat refused", "failed to fetch", "job failed"]
                .iter()
                .all(|part| output.contains(part))
                .then_some(())
        })
        .await;
        process.kill().await;
        check(&process, format);
    }
}
