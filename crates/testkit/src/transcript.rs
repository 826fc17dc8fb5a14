//! The player of recorded dialogues. `transcripts/README.md` describes their grammar.

mod matching;
mod sent;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use faktory_wire::{Greeting, Reply};

use crate::wire_client::WireClient;
use crate::work_server::{WorkServer, WorkServerKind};
use matching::{json_matches, text_matches};
use sent::{substitute, unescape};

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

    /// Sends or reads as the dialogue says.
    async fn act(&mut self, verb: &str, rest: &str) -> Result<(), String> {
        match verb {
            ">" | ">~" => {
                let sent = substitute(rest, &self.client);
                self.client.send(&sent).await;
                self.read().await;
            }
            ">>" => {
                let sent = substitute(rest, &self.client);
                self.client.send(&sent).await;
            }
            "raw" => {
                let sent = substitute(&unescape(rest), &self.client);
                self.client.send_raw(sent.as_bytes()).await;
            }
            "read" | "read~" => self.read().await,
            "half-close" => self.client.half_close().await,
            _ => return Err(format!("unknown action {verb}")),
        }
        Ok(())
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
            "<" => expect(rest, speaker).map_err(|got| format!("got {got}")),
            "<~" => {
                if let Err(got) = expect(rest, speaker) {
                    let (file, recorded) = (file.into(), rest.into());
                    self.differences.push(Difference { file, line: number, recorded, got });
                }
                Ok(())
            }
            _ => speaker.act(verb, rest).await,
        }
    }
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
            text_matches(&unescape_text(expected), &without_abilities(&got))
        }
        _ => false,
    };
    // A reply that comes too early is a difference. A late reply is not: the machine may be slow.
    if same && speaker.took < at_least.mul_f64(0.75) {
        return Err(format!("{got} after {:?} already", speaker.took));
    }
    if same { Ok(()) } else { Err(got) }
}

/// A greeting without what the broker tells there and Faktory does not know.
fn without_abilities(got: &str) -> String {
    let greeting = got.strip_prefix('+').and_then(|text| Greeting::parse(text.as_bytes()).ok());
    let abilities = greeting.and_then(|greeting| greeting.abilities);
    let told = abilities.map(|told| format!(",\"wf\":{}", serde_json::to_string(&told).unwrap()));
    told.map_or_else(|| got.to_owned(), |told| got.replacen(&told, "", 1))
}

/// Resolves the only escape in recorded texts, a carriage return before `PE`. All other backslashes
/// belong to the text.
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
