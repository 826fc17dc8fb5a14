//! The accepting task, and what it does meanwhile.

use std::io;

use faktory_link::{LinkConfig, LinkPool, Pusher};
use testkit::Logged;

use super::*;
use crate::config::ApiConfig;
use crate::figures::Figures;
use crate::state::State;

/// The state of a service whose work server is never asked.
fn state() -> SharedState {
    let link = LinkConfig::new("127.0.0.1", 1);
    let pusher = Pusher::new(LinkPool::new(link.clone()).unwrap());
    let address = ([127, 0, 0, 1], 3000).into();
    Arc::new(State::new(ApiConfig::new(link), address, pusher, Arc::new(Figures::new())))
}

#[tokio::test(start_paused = true)]
async fn the_accepting_task_logs_the_last_count_of_a_burst() {
    let state = state();
    let log = Logged::here();
    for _ in 0..20 {
        let _ = state.failures.note([10, 0, 0, 1].into(), logs::now());
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let over = tokio::time::sleep(Duration::from_secs(100));
    tokio::select! {
        () = serve(listener, state) => panic!("nothing stops the task"),
        () = over => {}
    }
    // The first line is the business of whoever notes the failure.
    assert_eq!(log.counts_of("keys that are not known"), [19]);
}

#[tokio::test(start_paused = true)]
async fn the_last_count_of_each_kind_is_logged_once_when_its_interval_has_ended() {
    let mut logs = Logs::new(PlaceLimits::of_total(10));
    let log = Logged::here();
    for _ in 0..20 {
        logs.note_made_room(logs::now());
        logs.note_too_many(logs::now());
        logs.note_failed(&io::Error::other("too many open files"), logs::now());
        logs.bad_tls.note(([10, 0, 0, 1], 1).into(), "no TLS");
    }
    let kinds = ["closed connections", "refused connections", "failed to accept", "agree on TLS"];
    for second in 0..=200 {
        logs.log_due(logs::now());
        for text in kinds {
            let expected: &[u64] = if second < 60 { &[1] } else { &[1, 19] };
            assert_eq!(log.counts_of(text), expected, "{text} after {second} s");
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}
