//! Attacks on a work server, by clients that know its password or try to guess it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::forever;
use super::session::Session;
use crate::part::order::{Attack, HostileOrder};

const MB: usize = 1_000_000;
/// The length of an unfinished line: the broker takes lines of at most 64 MiB.
const HALF_LINE: usize = 62 * MB;
const HALF_LINES: usize = 40;
const GUESSERS: usize = 16;
const UNREAD: usize = 50;
/// The INFOs that each of these asks for and does not read.
const INFOS: usize = 100;
/// The time for which replies are left unread.
const LEFT: Duration = Duration::from_secs(3);
const QUEUES: usize = 20_000;

/// Puts into the work server what the attack needs there.
pub(super) async fn prepare(order: &HostileOrder) -> anyhow::Result<()> {
    let line = match order.attack {
        Attack::Glob => scheduled_job(),
        Attack::InfoUnread => pushb((0..QUEUES).map(|number| (number, format!("q{number}")))),
        _ => return Ok(()),
    };
    Session::open(&order.server, true).await?.ask(line.as_bytes()).await
}

/// Sends one line over and over, and reads its reply.
pub(super) fn lines(order: &'static HostileOrder, clients: &mut JoinSet<()>) {
    let line: Arc<str> = line_of(order.attack).into();
    clients.spawn(forever(move || {
        let line = Arc::clone(&line);
        async move {
            let mut session = Session::open(&order.server, true).await?;
            loop {
                session.ask(line.as_bytes()).await?;
            }
        }
    }));
}

/// The line of an attack that consists of one line.
fn line_of(attack: Attack) -> String {
    match attack {
        Attack::FetchNames => names("FETCH", 60 * MB / 8),
        Attack::LatencyNames => names("QUEUE LATENCY", 5 * MB),
        Attack::MutateIds => {
            let mut line =
                "MUTATE {\"cmd\":\"kill\",\"target\":\"scheduled\",\"filter\":{\"jids\":\
                            [\"00000000\""
                    .to_owned();
            for number in 1..4 * MB {
                let _ = write!(line, ",\"{number:08}\"");
            }
            line + "]}}\r\n"
        }
        Attack::Pushb => pushb((0..100_000).map(|number| (number, "hostile".to_owned()))),
        _ => "MUTATE {\"cmd\":\"kill\",\"target\":\"scheduled\",\"filter\":{\"regexp\":\
              \"*a*a*a*b\"}}\r\n"
            .to_owned(),
    }
}

fn names(verb: &str, count: usize) -> String {
    let mut line = String::with_capacity(verb.len() + 8 * count + 2);
    line.push_str(verb);
    for number in 0..count {
        let _ = write!(line, " {number:07}");
    }
    line + "\r\n"
}

/// A push of jobs, each with its number in its id and with a queue.
fn pushb(jobs: impl Iterator<Item = (usize, String)>) -> String {
    let mut line = "PUSHB [".to_owned();
    for (place, (number, queue)) in jobs.enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(
            line,
            "{comma}{{\"jid\":\"hostile{number:07}\",\"jobtype\":\"x\",\"args\":[],\"queue\":\
             \"{queue}\"}}"
        );
    }
    line + "]\r\n"
}

/// A job of 16 MB that is due in a time that no measurement reaches.
fn scheduled_job() -> String {
    format!(
        "PUSH {{\"jid\":\"hostile-glob\",\"jobtype\":\"x\",\"args\":[\"{}\"],\"at\":\
         \"2100-01-01T00:00:00Z\"}}\r\n",
        "a".repeat(16 * MB)
    )
}

/// Asks for much and reads nothing of it.
pub(super) fn unread_infos(order: &'static HostileOrder, clients: &mut JoinSet<()>) {
    for _ in 0..UNREAD {
        clients.spawn(forever(move || async move {
            let mut session = Session::open(&order.server, true).await?;
            session.send("INFO\r\n".repeat(INFOS).as_bytes()).await?;
            tokio::time::sleep(LEFT).await;
            Ok(())
        }));
    }
}

pub(super) fn wrong_passwords(order: &'static HostileOrder, clients: &mut JoinSet<()>) {
    for _ in 0..GUESSERS {
        clients.spawn(async move {
            loop {
                // Refused each time: that is no reason to rest.
                let _ = Session::open(&order.server, false).await;
                tokio::task::yield_now().await;
            }
        });
    }
}

/// Begins long lines and does not end them.
pub(super) fn half_lines(order: &'static HostileOrder, clients: &mut JoinSet<()>) {
    let line: Arc<str> = format!("PUSH {}", "a".repeat(HALF_LINE)).into();
    for _ in 0..HALF_LINES {
        let line = Arc::clone(&line);
        clients.spawn(forever(move || {
            let line = Arc::clone(&line);
            async move {
                let mut session = Session::open(&order.server, true).await?;
                session.send(line.as_bytes()).await?;
                // Until the server ends the connection.
                session.reply().await
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use faktory_wire::Command;

    use super::*;

    #[test]
    fn the_lines_are_commands_of_the_announced_size() {
        for (attack, at_least) in [
            (Attack::Glob, 50),
            (Attack::FetchNames, 60 * MB),
            (Attack::LatencyNames, 40 * MB),
            (Attack::MutateIds, 44 * MB),
            (Attack::Pushb, 6 * MB),
        ] {
            let line = line_of(attack);
            assert!(line.len() >= at_least && line.len() < 64 << 20, "{attack:?}");
            // What was a command of millions of names is now above a bound of the broker.
            let is_bounded = !matches!(attack, Attack::Glob | Attack::Pushb);
            let refused = Command::parse(&bytes_of(&line)).err().map(|error| error.to_string());
            assert_eq!(is_bounded, refused.is_some(), "{attack:?}: {refused:?}");
            if let Some(text) = refused {
                assert!(text.contains("at most") || text.contains("more than"), "{text}");
            }
        }
        assert!(Command::parse(&bytes_of(&scheduled_job())).is_ok());
    }

    fn bytes_of(line: &str) -> Vec<u8> {
        line.trim_end().as_bytes().to_vec()
    }
}
