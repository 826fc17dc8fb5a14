//! The player of recorded dialogues. `transcripts/README.md` describes their grammar.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use faktory_wire::{Reply, Timestamp, password_hash};
use serde_json::Value;

use crate::wire_client::WireClient;
use crate::work_server::{WorkServer, WorkServerKind};

/// The password of the dialogues with a password.
const PASSWORD: &str = "transcript-password";

/// A reply that differs from the recorded reply where the dialogue allows that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The dialogue.
    pub file: String,
    /// The line of the expectation.
    pub line: usize,
    /// The reply of Faktory.
    pub recorded: String,
    /// The reply of this server.
    pub got: String,
}

/// All dialogues, in order.
#[must_use]
pub fn all() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/transcripts");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "txt")).collect();
    files.sort();
    files
}

/// Plays one dialogue on a fresh server, and returns the differences that the dialogue allows.
///
/// # Errors
/// The first difference that the dialogue does not allow, with its place and both replies.
pub async fn play(path: &std::path::Path, kind: WorkServerKind) -> Result<Vec<Difference>, String> {
    let file = path.file_stem().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let password = text.lines().any(|line| line == "# password").then_some(PASSWORD);
    let server = WorkServer::start_with(kind, password).await;
    let mut player = Player { server, connections: HashMap::new(), differences: Vec::new() };
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        player
            .step(&file, index + 1, line)
            .await
            .map_err(|fault| format!("{file}:{}: {fault}\n  {line}", index + 1))?;
    }
    player.server.stop().await;
    Ok(player.differences)
}

/// A player with its server and connections.
struct Player {
    server: WorkServer,
    connections: HashMap<String, Speaker>,
    differences: Vec<Difference>,
}

/// A connection of the dialogue, with its last reply.
struct Speaker {
    client: WireClient,
    last: Option<Reply>,
    /// The time until the last reply came.
    took: Duration,
}

impl Speaker {
    async fn read(&mut self) {
        let begun = Instant::now();
        self.last = self.client.read().await;
        self.took = begun.elapsed();
    }
}

impl Player {
    async fn step(&mut self, file: &str, number: usize, line: &str) -> Result<(), String> {
        if let Some(seconds) = line.strip_prefix("sleep ") {
            tokio::time::sleep(Duration::from_secs_f64(seconds.parse().unwrap())).await;
            return Ok(());
        }
        if line == "restart term" {
            self.connections.clear();
            self.server.restart().await;
            return Ok(());
        }
        let (name, action) = line.split_once(' ').ok_or("no action")?;
        if action == "open" {
            let client = WireClient::open(self.server.address()).await;
            let mut speaker = Speaker { client, last: None, took: Duration::ZERO };
            speaker.read().await;
            self.connections.insert(name.into(), speaker);
            return Ok(());
        }
        if action == "close" {
            self.connections.remove(name);
            return Ok(());
        }
        let speaker = self.connections.get_mut(name).ok_or("not open")?;
        let (verb, rest) = action.split_once(' ').unwrap_or((action, ""));
        match verb {
            ">" | ">~" => {
                let sent = substitute(rest, &speaker.client);
                speaker.client.send(&sent).await;
                speaker.read().await;
            }
            ">>" => {
                let sent = substitute(rest, &speaker.client);
                speaker.client.send(&sent).await;
            }
            "raw" => {
                let sent = substitute(&unescape(rest), &speaker.client);
                speaker.client.send_raw(sent.as_bytes()).await;
            }
            "read" | "read~" => speaker.read().await,
            "half-close" => speaker.client.half_close().await,
            "<" | "<~" => {
                if let Err(got) = expect(rest, speaker) {
                    if verb == "<" {
                        return Err(format!("got {got}"));
                    }
                    self.differences.push(Difference {
                        file: file.into(),
                        line: number,
                        recorded: rest.into(),
                        got,
                    });
                }
            }
            _ => return Err(format!("unknown action {verb}")),
        }
        Ok(())
    }
}

/// Fills the placeholders of a text to be sent.
fn substitute(text: &str, client: &WireClient) -> String {
    let hash = |password: &str| {
        let greeting = client.greeting.clone().unwrap();
        password_hash(
            password,
            &greeting.salt.unwrap_or_default(),
            greeting.iterations.unwrap_or(1),
        )
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, behind) = after.split_once("}}").unwrap();
        out.push_str(before);
        match name {
            "pwdhash" => out.push_str(&hash(PASSWORD)),
            "PWDHASH" => out.push_str(&hash(PASSWORD).to_uppercase()),
            "wrongdhash" => out.push_str(&hash("another password")),
            _ if name.starts_with("now+") => {
                let seconds: u64 =
                    name.trim_start_matches("now+").trim_end_matches('s').parse().unwrap();
                out.push_str(&Timestamp::now().plus(Duration::from_secs(seconds)).to_string());
            }
            _ if name.starts_with("pad:") => out.push_str(&"x".repeat(name[4..].parse().unwrap())),
            other => panic!("unknown placeholder {other}"),
        }
        rest = behind;
    }
    out + rest
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('r') => out.push('\r'),
                Some('n') => out.push('\n'),
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    out.push(
                        u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).unwrap(),
                    );
                }
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}

/// Compares the last reply with the recorded reply; returns the last reply where it differs.
fn expect(expected: &str, speaker: &Speaker) -> Result<(), String> {
    let (expected, at_least) = match expected.rsplit_once("   @") {
        Some((expected, took)) => {
            (expected, took.trim_end_matches("ms").parse().map(Duration::from_millis).unwrap())
        }
        None => (expected, Duration::ZERO),
    };
    let got = show(speaker.last.as_ref());
    let same = match (expected, &speaker.last) {
        ("(closed)", None) | ("$-1", Some(Reply::Nothing)) => true,
        (_, Some(Reply::Bulk(body))) => {
            match (expected.strip_prefix("$ "), serde_json::from_slice(body)) {
                (Some(json), Ok(body)) => json_matches(&serde_json::from_str(json).unwrap(), &body),
                _ => false,
            }
        }
        (_, Some(Reply::Simple(_) | Reply::Error(_))) => {
            text_matches(&unescape_text(expected), &got)
        }
        _ => false,
    };
    // A reply that comes too early is a difference. A late reply is not: the machine may be slow.
    if same && speaker.took < at_least.mul_f64(0.75) {
        return Err(format!("{got} after {:?} already", speaker.took));
    }
    if same { Ok(()) } else { Err(got) }
}

/// Recorded replies have their control characters escaped, as in `raw`; backslashes of JSON and
/// regular expressions stay.
fn unescape_text(text: &str) -> String {
    text.replace("\\rPE", "\rPE")
}

fn show(reply: Option<&Reply>) -> String {
    match reply {
        None => "(closed)".into(),
        Some(Reply::Nothing) => "$-1".into(),
        Some(Reply::Simple(text)) => format!("+{}", String::from_utf8_lossy(text)),
        Some(Reply::Error(text)) => format!("-{text}"),
        Some(Reply::Bulk(body)) => format!("$ {}", String::from_utf8_lossy(body)),
    }
}

fn json_matches(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::String(placeholder), _)
            if placeholder.starts_with("{{") && placeholder.ends_with("}}") =>
        {
            match placeholder.as_str() {
                "{{int}}" => got.is_i64() || got.is_u64(),
                "{{number}}" => got.is_number(),
                "{{time}}" => got.as_str().is_some_and(|text| Timestamp::parse(text).is_ok()),
                "{{any}}" => true,
                other => panic!("unknown placeholder {other}"),
            }
        }
        (Value::Object(expected), Value::Object(got)) => {
            expected.len() == got.len()
                && expected
                    .iter()
                    .all(|(name, value)| got.get(name).is_some_and(|got| json_matches(value, got)))
        }
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len()
                && expected.iter().zip(got).all(|(expected, got)| json_matches(expected, got))
        }
        // 1 and 1.0 are the same number. Two different integers are different, however close.
        (Value::Number(expected), Value::Number(got)) => {
            expected == got
                || (expected.is_f64() || got.is_f64()) && expected.as_f64() == got.as_f64()
        }
        _ => expected == got,
    }
}

/// Compares text with placeholders: the text between the fixed parts must be of the right kind.
fn text_matches(expected: &str, got: &str) -> bool {
    let Some((before, rest)) = expected.split_once("{{") else { return expected == got };
    let (kind, behind) = rest.split_once("}}").unwrap();
    let Some(tail) = got.strip_prefix(before) else { return false };
    let fits = |part: &str| match kind {
        "int" => !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()),
        "hex" => !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "any" => true,
        other => panic!("unknown placeholder {other}"),
    };
    (0..=tail.len())
        .filter(|end| tail.is_char_boundary(*end))
        .any(|end| fits(&tail[..end]) && text_matches(behind, &tail[end..]))
}
