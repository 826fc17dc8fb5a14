//! The recorded dialogues. Where a dialogue allows a difference, the differences of the broker are
//! exactly those listed here, and each is in DIFFERENCES.md with its reason.

use std::collections::BTreeSet;

use testkit::WorkServerKind;
use testkit::transcript::{self, Difference};
use tokio::task::JoinSet;

/// For each difference: the dialogue, the line of the expected reply, and a part of the broker's
/// reply.
const DIFFERENCES: &[(&str, usize, &str)] = &[
    ("02-hello-refused", 5, "-ERR expected HELLO"),
    ("02-hello-refused", 9, "-ERR expected HELLO"),
    ("02-hello-refused", 13, "-ERR expected HELLO"),
    ("02-hello-refused", 17, "-ERR invalid HELLO"),
    ("02-hello-refused", 21, "-ERR expected HELLO"),
    ("02-hello-refused", 25, "-ERR invalid HELLO"),
    ("04-unknown", 17, "-ERR invalid JSON"),
    ("04-unknown", 19, "-ERR invalid JSON"),
    ("04-unknown", 21, "-ERR invalid ACK"),
    ("04-unknown", 23, "-ERR invalid FAIL"),
    ("04-unknown", 25, "-ERR invalid BEAT"),
    ("04-unknown", 27, "-ERR QUEUE needs a subcommand"),
    ("06-push-defaults", 9, "\"reserve_for\":1800"),
    ("13-schedule", 20, "\"enqueued_at\":"),
    ("15-queue", 41, "$-1"),
    ("18-flush", 15, "\"queues\":{}"),
    ("20-framing", 23, r"-ERR unknown command NO\rPE"),
    ("21-args-fidelity", 9, "[9007199254740993,18446744073709551615,1.0,1e21,-0.0]"),
    ("23-disconnect", 18, "job-0000000a"),
    ("24-retry-default", 17, "\"retry\":25"),
];

async fn play_all(kind: WorkServerKind) -> Vec<Difference> {
    let mut playing = JoinSet::new();
    for path in transcript::all() {
        playing.spawn(async move { transcript::play(&path, kind).await });
    }
    let results = playing.join_all().await;
    let faults: Vec<&String> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    let mut differences: Vec<Difference> = results.into_iter().flatten().flatten().collect();
    differences.sort_by_key(|difference| (difference.file.clone(), difference.line));
    differences
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transcript_passes_on_the_broker() {
    let differences = play_all(WorkServerKind::Broker).await;
    let found: Vec<(&str, usize)> =
        differences.iter().map(|difference| (difference.file.as_str(), difference.line)).collect();
    let listed: Vec<(&str, usize)> =
        DIFFERENCES.iter().map(|(file, line, _)| (*file, *line)).collect();
    assert_eq!(found, listed, "{differences:#?}");
    for (difference, (.., got)) in differences.iter().zip(DIFFERENCES) {
        assert!(difference.got.contains(got), "{difference:#?} is not {got}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transcript_passes_on_faktory_without_a_difference() {
    if WorkServerKind::all().contains(&WorkServerKind::Faktory) {
        assert_eq!(play_all(WorkServerKind::Faktory).await, []);
    }
}

#[test]
fn the_document_lists_exactly_the_dialogues_with_a_difference() {
    let document = include_str!("../../DIFFERENCES.md");
    let mut documented = BTreeSet::new();
    for row in document.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [dialogue, difference, reason] = cells[..] else { panic!("three cells: {row}") };
        assert!(!difference.is_empty() && !reason.is_empty(), "{row}");
        documented.insert(dialogue.trim_matches('`'));
    }
    let listed: BTreeSet<&str> = DIFFERENCES.iter().map(|(dialogue, ..)| *dialogue).collect();
    assert_eq!(documented, listed);
}
