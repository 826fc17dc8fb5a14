//! Keepalive through a NAT that forgets silent connections. With keepalive a connection survives;
//! without keepalive the link notices the loss and names it.
//!
//! The server of this test sends nothing by itself: Faktory's own keepalive would hide the effect
//! of the link's keepalive.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use faktory_link::{Connection, LinkConfig, LinkError, Phase};
use faktory_wire::{Command, Reply};
use link_emulator::{Direction, Link, LinkConfig as Distance, Settings};

use crate::skip;

/// Answers commands, and is silent otherwise.
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

/// A keepalive that is longer than any silence of these tests.
const WITHOUT_KEEPALIVE: Duration = Duration::from_secs(7200);

/// Asks on a connection with keepalive and on one without, before and after the silence.
async fn ask_after_silence(kept: LinkConfig, forgotten: LinkConfig, times: &Times) {
    let push = Command::PushBulk(Vec::new());
    let kept = Connection::open(&kept, None).await.unwrap();
    let forgotten = Connection::open(&forgotten, None).await.unwrap();
    for connection in [&kept, &forgotten] {
        assert_eq!(connection.ask(&push).await.unwrap(), Reply::Bulk("{}".into()));
    }
    tokio::time::sleep(times.silence).await;
    assert_eq!(
        kept.ask(&push).await.unwrap(),
        Reply::Bulk("{}".into()),
        "a connection with keepalive below the NAT's time survives"
    );
    let asked = Instant::now();
    let lost = forgotten.ask(&push).await.unwrap_err();
    assert!(lost.sent, "{lost}");
    assert!(matches!(*lost.cause, LinkError::Timeout { phase: Phase::Reply, .. }), "{lost}");
    // The timeout, and a second for a busy machine.
    assert!(asked.elapsed() < times.read_timeout + Duration::from_secs(1), "{:?}", asked.elapsed());
    eprintln!(
        "after {:?} of silence: with keepalive an answer; without, after {:?}: {lost}",
        times.silence,
        asked.elapsed()
    );
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
        // Longer than the read timeout, so that the read timeout ends the lost connection.
        write_timeout: times.read_timeout * 4,
        ..LinkConfig::new(link.far_address().to_string(), 7419)
    };
    let silence = ask_after_silence(config(times.keepalive), config(WITHOUT_KEEPALIVE), times);
    link.near()
        .run(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(silence);
        })
        .unwrap();
    assert!(link.counters(Direction::NearToFar).forgotten > 0);
}

#[test]
fn a_connection_with_keepalive_survives_a_nat_and_one_without_is_lost_within_the_read_timeout() {
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
fn keepalive_with_the_default_settings_survives_five_minutes_of_silence() {
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
