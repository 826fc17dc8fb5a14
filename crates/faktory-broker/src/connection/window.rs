//! The window of a connection: how much a client may have unanswered. A client that sends commands
//! and reads no replies is read no further once its window is full.

use std::sync::Arc;

use faktory_wire::{Command, EXCERPT_CHARS_MAX, Job};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The size of a window, in units of cost; every command costs at least 1.
const SIZE: u32 = 1024;
/// A command costs 1 more for this many bytes.
const BYTES_OF_COST: usize = 64 << 10;
/// The most cost of the commands that may be unanswered when another one takes shared memory, with
/// its own: 2 MiB. A larger command waits until all earlier ones have been answered.
const PIPELINED: u32 = 32;
/// The cost of a command whose reply can be large.
const LARGE_REPLY_COST: u32 = 8;

/// A PUSHB whose refusal can be longer owes a large reply.
const LARGE_REFUSAL_BYTES: usize = 256 << 10;
/// The most bytes in which a job without a fault is refused, beside its id and its queue's name:
/// there may be too many queues.
const REFUSAL_OF_QUEUE_BYTES: usize = 112;
/// The bytes around an id and a text in the answer to a PUSHB: quotes, colon and comma.
const MEMBER_BYTES: usize = 6;

/// A command costs 1 more for this many names of queues.
const NAMES_OF_COST: usize = 16;

/// Replies that a connection may have waiting for its writer: one for each command in the window,
/// and some that belong to no command or end the connection.
pub(super) const REPLIES_MAX: usize = SIZE as usize + 8;

/// The side of a window that takes room for commands. Permits travel to the writer in the order of
/// the commands, and are released when the replies have been written.
pub(super) struct Window {
    room: Arc<Semaphore>,
    unanswered: mpsc::Sender<OwnedSemaphorePermit>,
    /// A command with a large reply may be unanswered.
    owes_large: bool,
}

/// Whose memory a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Its connection's own, which it has.
    Own,
    /// That of its connection or of all, whichever is free first.
    Shared,
    /// That of all connections: the command is larger than what one has for itself.
    SharedOnly,
}

/// The side of a window that gives room back.
pub(super) struct Answered(mpsc::Receiver<OwnedSemaphorePermit>);

/// The window is gone, because the connection ends.
pub(super) struct WindowClosed;

pub(super) fn window() -> (Window, Answered) {
    let (unanswered, answered) = mpsc::channel(SIZE as usize);
    (
        Window { room: Arc::new(Semaphore::new(SIZE as usize)), unanswered, owes_large: false },
        Answered(answered),
    )
}

impl Window {
    /// Waits until the window has room for the command of a line. A command that takes memory which
    /// all connections share must not wait for earlier ones of its client while it holds that
    /// memory: a client that reads no replies would hold up the others.
    pub(super) async fn enter(&mut self, line: &[u8], takes: Takes) -> Result<(), WindowClosed> {
        let cost = cost(line);
        let is_large = takes == Takes::SharedOnly;
        if is_large || (takes == Takes::Shared && self.owes_large) {
            let alone = self.owes_large || cost > PIPELINED;
            let room = if alone { SIZE } else { SIZE - PIPELINED + cost };
            let _answered = self.room.acquire_many(room).await.map_err(|_| WindowClosed)?;
            self.owes_large &= !alone;
        }
        let permit = Arc::clone(&self.room).acquire_many_owned(cost).await;
        let permit = permit.map_err(|_| WindowClosed)?;
        self.owes_large |= has_large_reply(line);
        self.unanswered.send(permit).await.map_err(|_| WindowClosed)
    }

    /// Lets the command of a line in that takes its connection's own memory, where the window has
    /// room for it now.
    pub(super) fn enter_at_once(&mut self, line: &[u8]) -> bool {
        let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(cost(line)) else {
            return false;
        };
        self.owes_large |= has_large_reply(line);
        self.unanswered.try_send(permit).is_ok()
    }

    /// Notes what the command is that entered last. Its line alone does not tell how long the
    /// refusal of a PUSHB can be.
    pub(super) fn note(&mut self, command: &Command) {
        if let Some(jobs) = command.bulk() {
            self.owes_large |= has_large_refusal(jobs);
        }
    }
}

impl Answered {
    /// The permit of the next command; `None` for a reply that answers no command of the window.
    pub(super) fn next(&mut self) -> Option<OwnedSemaphorePermit> {
        self.0.try_recv().ok()
    }
}

/// The room that a command takes in its window, told by its line alone. A command that is larger
/// than the window takes the whole window.
pub(super) fn cost(line: &[u8]) -> u32 {
    let separator = match line {
        [b'F', b'E', b'T', b'C', b'H', ..] | [b'Q', b'U', b'E', b'U', b'E', ..] => Some(b' '),
        [b'W', b'F', b' ', b'F', b'E', b'T', b'C', b'H', ..] => Some(b','),
        _ => None,
    };
    let for_reply = if has_large_reply(line) { LARGE_REPLY_COST } else { 1 };
    let count = |separator| line.iter().filter(|byte| **byte == separator).count();
    let names = separator.map_or(0, count);
    let for_names = u32::try_from(names / NAMES_OF_COST).unwrap_or(SIZE);
    let for_bytes = u32::try_from(line.len() / BYTES_OF_COST).unwrap_or(SIZE);
    for_bytes.saturating_add(for_reply).saturating_add(for_names).min(SIZE)
}

/// True for a command whose reply can be large, or can be long in coming.
fn has_large_reply(line: &[u8]) -> bool {
    let verbs = [b"FETCH".as_slice(), b"WF FETCH", b"INFO", b"QUEUE"];
    verbs.into_iter().any(|verb| line.starts_with(verb))
}

/// True where the answer to a PUSHB of these jobs is large if each is refused that can be. Looks at
/// a few thousand jobs at the most.
fn has_large_refusal(jobs: &[Job]) -> bool {
    let mut bytes = 0;
    jobs.iter().any(|job| {
        bytes += MEMBER_BYTES + json_bytes(&job.jid) + refusal_bytes(job);
        bytes > LARGE_REFUSAL_BYTES
    })
}

/// The most bytes of the text that refuses a job.
fn refusal_bytes(job: &Job) -> usize {
    match job.check() {
        Ok(_) => REFUSAL_OF_QUEUE_BYTES + job.queue_name().len().min(EXCERPT_CHARS_MAX),
        Err(fault) => json_bytes(&fault.to_string()),
    }
}

/// The most bytes of a text within quotes in JSON.
fn json_bytes(text: &str) -> usize {
    let of = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_costs_by_its_bytes_and_by_the_size_of_its_reply() {
        let cost_of = |line: &str| cost(line.as_bytes());
        assert_eq!(cost_of(r#"ACK {"jid":"x"}"#), 1);
        assert_eq!(cost_of("no command"), 1);
        assert_eq!(cost_of("FETCH default"), 8);
        assert_eq!(cost_of(r#"WF FETCH {"n":9,"queues":["a"]}"#), 8);
        let many = r#","q""#.repeat(1000);
        assert_eq!(cost_of(&format!(r#"WF FETCH {{"n":9,"queues":["q"{many}]}}"#)), 8 + 62);
        assert_eq!(cost_of("INFO"), 8);
        assert_eq!(cost_of(&format!("FETCH{}", " q".repeat(1000))), 8 + 62);
        assert_eq!(cost_of(&format!("QUEUE REMOVE{}", " q".repeat(160))), 8 + 10);
        let pushb = |bytes: usize| "PUSHB".to_owned() + &" ".repeat(bytes);
        assert_eq!(cost_of(&pushb(3 * BYTES_OF_COST)), 4);
        assert_eq!(cost_of(&pushb(2000 * BYTES_OF_COST)), SIZE);
    }

    #[tokio::test]
    async fn a_full_window_lets_a_command_in_once_a_reply_was_written() {
        let (mut window, mut answered) = window();
        let whole = vec![b'x'; SIZE as usize * BYTES_OF_COST];
        assert!(window.enter(&whole, Takes::Own).await.is_ok());
        let mut waiting = std::pin::pin!(window.enter(b"ACK", Takes::Own));
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("the window is full"),
            () = std::future::ready(()) => {}
        }
        drop(answered.next());
        assert!(waiting.await.is_ok());
    }

    #[tokio::test]
    async fn a_large_command_waits_for_earlier_ones_with_large_replies_and_for_many() {
        let large = vec![b'x'; 10 * BYTES_OF_COST];
        for (earlier, count, goes_on) in
            [(b"FETCH a".as_slice(), 1, false), (b"ACK", 20, true), (b"ACK", 22, false)]
        {
            let (mut window, mut answered) = window();
            for _ in 0..count {
                assert!(window.enter(earlier, Takes::Own).await.is_ok());
            }
            let mut entering = Box::pin(window.enter(&large, Takes::SharedOnly));
            let entered = tokio::select! {
                biased;
                entered = &mut entering => entered.is_ok(),
                () = std::future::ready(()) => false,
            };
            assert_eq!(entered, goes_on, "{count}");
            if !entered {
                while answered.next().is_some() {}
                assert!(entering.await.is_ok());
            }
        }
    }

    fn pushb_of(count: usize, job: impl Fn(usize) -> String) -> String {
        format!("PUSHB [{}]", (0..count).map(job).collect::<Vec<_>>().join(","))
    }

    #[tokio::test]
    async fn a_small_command_takes_no_shared_memory_behind_large_replies_that_are_not_read() {
        let refused = format!("PUSHB [{}]", vec!["{}"; 6000].join(","));
        let once = format!(r#"WF PUSHB {{"jobs":[{}]}}"#, vec!["{}"; 6000].join(","));
        let pushb = format!(r#"PUSHB [{{"args":["{}"]}}]"#, "x".repeat(1 << 20));
        let ordinary = pushb_of(1000, |n| {
            let args = "x".repeat(130);
            format!(r#"{{"jid":"job-{n:020}","jobtype":"t","args":["{args}"]}}"#)
        });
        let long_ids = pushb_of(1000, |n| format!(r#"{{"jid":"{n:0300}"}}"#));
        let escaped = pushb_of(1000, |n| format!(r#"{{"jid":"{n:08}{}"}}"#, r"\u0001".repeat(40)));
        let bad_names = pushb_of(1000, |n| {
            let name = "!".repeat(200);
            format!(r#"{{"jid":"{n:08}","jobtype":"t","args":[],"queue":"{name}"}}"#)
        });
        for (earlier, takes, goes_on) in [
            ("FETCH a", Takes::Own, true),
            ("FETCH a", Takes::Shared, false),
            ("ACK", Takes::Shared, true),
            (&refused, Takes::Shared, false),
            (&once, Takes::Shared, false),
            (&pushb, Takes::Shared, true),
            (&ordinary, Takes::Shared, true),
            (&long_ids, Takes::Shared, false),
            (&escaped, Takes::Shared, false),
            (&bad_names, Takes::Shared, false),
        ] {
            let (mut window, mut answered) = window();
            assert!(window.enter(earlier.as_bytes(), Takes::Own).await.is_ok());
            if let Ok(command) = Command::parse(earlier.as_bytes()) {
                window.note(&command);
            }
            let mut entering = Box::pin(window.enter(b"PUSH", takes));
            let entered = tokio::select! {
                biased;
                entered = &mut entering => entered.is_ok(),
                () = std::future::ready(()) => false,
            };
            assert_eq!(entered, goes_on, "{takes:?} behind {earlier:.60}");
            if !entered {
                drop(answered.next());
                assert!(entering.await.is_ok());
            }
        }
    }
}
