//! Whatever texts a command, a HELLO or a reply holds, its line is one line.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use bytes::Bytes;
use faktory_wire::{
    Beat, Command, FailReport, Failure, Filter, Greeting, Hello, Job, Mutation, MutationKind,
    QueueCommand, RawJson, Reply, Requeue, TargetSet, Word, encode_pushb,
};
use fastrand::Rng;

const PIECES: [&str; 16] = [
    "\n",
    "\r",
    "\r\n",
    "\0",
    " ",
    "\"",
    "\\",
    "\u{1b}[2J",
    "\u{85}",
    "\u{2028}",
    "\u{202e}",
    "é",
    "{",
    "]",
    "FLUSH",
    "*",
];

fn text(random: &mut Rng) -> String {
    let pieces = random.usize(0..6);
    (0..pieces).map(|_| *random.choice(PIECES.iter()).unwrap()).collect()
}

fn texts(random: &mut Rng) -> Vec<String> {
    (0..random.usize(0..4)).map(|_| text(random)).collect()
}

/// Those of some texts that may be the names of queues in a command.
fn words(random: &mut Rng) -> Vec<Word> {
    texts(random).into_iter().filter_map(|text| Word::new(text).ok()).collect()
}

fn some(random: &mut Rng) -> Option<String> {
    random.bool().then(|| text(random))
}

/// JSON with line breaks between its tokens.
fn raw(random: &mut Rng, open: &str, close: &str) -> Option<RawJson> {
    let inside = if open == "[" { format!("{:?}", 7) } else { "\"k\" :\n 1".into() };
    random.bool().then(|| RawJson::parse(&format!("{open}\r\n{inside}\n{close}")).unwrap())
}

fn job(random: &mut Rng) -> Job {
    Job {
        jid: text(random),
        jobtype: text(random),
        args: raw(random, "[", "]"),
        queue: some(random),
        retry: Some(-1),
        reserve_for: Some(i64::MIN),
        at: some(random),
        created_at: some(random),
        enqueued_at: some(random),
        backtrace: Some(i64::MAX),
        custom: raw(random, "{", "}"),
        failure: Some(Failure {
            failed_at: text(random),
            next_at: text(random),
            message: text(random),
            errtype: text(random),
            backtrace: texts(random),
            retry_count: 0,
            remaining: 0,
        }),
        reservation: Some(7),
    }
}

fn commands(random: &mut Rng) -> Vec<Command> {
    let filter = Filter { jids: Some(texts(random)), regexp: some(random), jobtype: some(random) };
    let failed = FailReport {
        jid: text(random),
        errtype: text(random),
        message: text(random),
        backtrace: texts(random),
    };
    vec![
        Command::End,
        Command::Push(Box::new(job(random))),
        Command::PushBulk((0..3).map(|_| job(random)).collect()),
        Command::Fetch(words(random)),
        Command::Ack(text(random)),
        Command::Fail(Box::new(failed)),
        Command::Beat(Beat { wid: text(random), current_state: some(random), rss_kb: Some(-1) }),
        Command::Requeue(Requeue { jid: text(random), reservation: 7, at: None }),
        Command::Info,
        Command::Flush,
        Command::Mutate(Mutation { kind: MutationKind::Discard, target: TargetSet::Dead, filter }),
        Command::Queue(QueueCommand::Latency(words(random))),
        Command::Queue(QueueCommand::Pause(words(random))),
        Command::Queue(QueueCommand::Resume(words(random))),
        Command::Queue(QueueCommand::Remove(words(random))),
    ]
}

#[track_caller]
fn assert_one_line(line: &[u8], of: &dyn std::fmt::Debug) {
    let body = line.strip_suffix(b"\r\n").unwrap_or_else(|| panic!("no line ending: {of:?}"));
    let breaks = body.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    assert!(!breaks, "{:?} of {of:?}", String::from_utf8_lossy(line));
}

#[test]
fn no_text_in_a_command_makes_a_second_line() {
    for seed in 0..2000 {
        let mut random = Rng::with_seed(seed);
        for command in commands(&mut random) {
            assert_one_line(&command.to_line(), &(seed, &command));
        }
    }
}

#[test]
fn no_job_that_is_given_as_bytes_makes_a_second_line() {
    let mut line = Vec::new();
    encode_pushb([b"{}\r\nFLUSH\r\n".as_slice()], &mut line);
    assert_one_line(&line, &"PUSHB");
}

#[test]
fn no_text_in_a_handshake_or_a_reply_makes_a_second_line() {
    for seed in 0..2000 {
        let mut random = Rng::with_seed(seed);
        let mut line = Vec::new();
        let hello = Hello {
            v: 2,
            wid: some(&mut random),
            hostname: some(&mut random),
            pid: Some(-1),
            labels: Some(texts(&mut random)),
            pwdhash: some(&mut random),
            wf: Some(1),
        };
        hello.encode(&mut line);
        assert_one_line(&line, &hello);
        line.clear();
        Greeting { v: 2, iterations: Some(1), salt: some(&mut random), abilities: None }
            .encode(&mut line);
        assert_one_line(&line, &seed);
        for reply in [
            Reply::Simple(Bytes::from(text(&mut random))),
            Reply::Error(text(&mut random)),
            Reply::error(text(&mut random)),
        ] {
            line.clear();
            reply.encode(&mut line);
            assert_one_line(&line, &reply);
        }
    }
}

#[test]
fn an_error_repeats_only_the_beginning_of_a_long_text() {
    let long = "\u{202e}x".repeat(500_000);
    let quoted = serde_json::to_string(&long).unwrap();
    let base = r#""jid":"job-00000001","jobtype":"t","args":[]"#;
    for line in [
        long.clone(),
        format!("ACK {long}"),
        format!("FAIL {long}"),
        format!("BEAT {long}"),
        format!("WF REQUEUE {long}"),
        format!("WF REQUEUE {{{quoted}:1}}"),
        format!("WF REQUEUE {{\"jid\":\"j\",\"reservation\":1,\"at\":{quoted}}}"),
        format!("QUEUE {long}"),
        format!("PUSH {{\"retry\":{quoted}}}"),
        format!("PUSHB [{{\"retry\":{quoted}}}]"),
        format!("MUTATE {{\"cmd\":\"kill\",\"target\":\"dead\",\"filter\":{quoted}}}"),
    ] {
        let error = Command::parse(line.as_bytes()).unwrap_err().to_string();
        assert!(error.len() < 3000 && !error.contains('\u{202e}'), "{error}");
    }
    for member in ["queue", "at"] {
        let json = format!("{{{base},\"{member}\":{quoted}}}");
        let error = Job::parse(json.as_bytes()).unwrap().check().unwrap_err().to_string();
        assert!(error.len() < 3000 && !error.contains('\u{202e}'), "{error}");
    }
    let error = Hello::parse(format!("HELLO {{\"v\":{quoted}}}").as_bytes()).unwrap_err();
    assert!(error.to_string().len() < 3000, "{error}");
}
