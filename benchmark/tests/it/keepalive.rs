//! A NAT between us and the work server forgets connections that are silent. Keepalive prevents it;
//! without it the loss is noticed and named.
//!
//! The server here sends nothing by itself: a Faktory's own keepalive would hide what ours does.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use faktory_link::{Connection, LinkConfig, LinkError, Phase};
use faktory_wire::{Command, Reply};
use link_emulator::{Direction, Link, LinkConfig as Distance, Settings};

use crate::skip;

/// Answers what comes, and is silent otherwise.
fn serve(listener: TcpListener) {
    for stream in listener.incoming().map_while(Result::ok) {
        std::thread::spawn(move || {
            let mut replies = stream.try_clone().unwrap();
            let _ = replies.write_all(b"+HI {\"v\":2}\r\n");
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let reply: &[u8] =
                    if line.starts_with("HELLO") { b"+OK\r\n" } else { b"$2\r\n{}\r\n" };
                if replies.write_all(reply).is_err() {
                    return;
                }
            }
        });
    }
}

struct Times {
    nat: Duration,
    keepalive: Duration,
    silence: Duration,
    read_timeout: Duration,
}

fn through_a_forgetful_nat(times: &Times) {
    let link = match Link::start(Distance::both_ways(Settings {
        delay: Duration::from_millis(5),
        ..Settings::default()
    })) {
        Ok(link) => link,
        Err(error) => return skip(&error.to_string()),
    };
    link.forget_idle_flows(Some(times.nat));
    let listener =
        link.far().run(|| TcpListener::bind((link.far_address(), 7419)).unwrap()).unwrap();
    std::thread::spawn(move || serve(listener));
    let config = |keepalive_idle| LinkConfig {
        keepalive_idle,
        read_timeout: times.read_timeout,
        // What is written and never acknowledged would end it too, under another name.
        write_timeout: times.read_timeout * 4,
        ..LinkConfig::new(link.far_address().to_string(), 7419)
    };
    let push = Command::PushBulk(Vec::new());
    link.near()
        .run(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let kept = Connection::open(&config(times.keepalive), None).await.unwrap();
                let forgotten =
                    Connection::open(&config(Duration::from_secs(7200)), None).await.unwrap();
                for connection in [&kept, &forgotten] {
                    assert_eq!(connection.ask(&push).await.unwrap(), Reply::Bulk("{}".into()));
                }
                tokio::time::sleep(times.silence).await;
                assert_eq!(
                    kept.ask(&push).await.unwrap(),
                    Reply::Bulk("{}".into()),
                    "keepalive under the NAT's time survives"
                );
                let asked = Instant::now();
                let lost = forgotten.ask(&push).await.unwrap_err();
                assert!(lost.sent, "{lost}");
                assert!(
                    matches!(*lost.cause, LinkError::Timeout { phase: Phase::Reply, .. }),
                    "{lost}"
                );
                // The timeout and a second of a busy machine.
                assert!(
                    asked.elapsed() < times.read_timeout + Duration::from_secs(1),
                    "{:?}",
                    asked.elapsed()
                );
                eprintln!(
                    "after {:?} of silence: kept answered; forgotten said after {:?}: {lost}",
                    times.silence,
                    asked.elapsed()
                );
            });
        })
        .unwrap();
    assert!(link.counters(Direction::NearToFar).forgotten > 0);
}

#[test]
fn keepalive_beats_a_nat_and_its_lack_is_noticed_within_the_read_timeout() {
    let seconds = Duration::from_secs;
    through_a_forgetful_nat(&Times {
        nat: seconds(9),
        keepalive: seconds(6),
        silence: seconds(20),
        read_timeout: seconds(3),
    });
}

/// `cargo test -p benchmark -- --ignored --nocapture keepalive`
#[test]
#[ignore = "takes over five minutes; by hand"]
fn keepalive_with_the_defaults_over_five_minutes() {
    let defaults = LinkConfig::new("", 0);
    let nat = defaults.keepalive_idle + defaults.keepalive_idle / 2;
    let (keepalive, read_timeout) = (defaults.keepalive_idle, defaults.read_timeout);
    through_a_forgetful_nat(&Times {
        nat,
        keepalive,
        silence: Duration::from_secs(300),
        read_timeout,
    });
}
