//! What is counted in the log, also when nothing follows.

use std::io;

use testkit::Logged;

use super::*;

/// The lines about each kind, and the seconds between two of them.
const KINDS: [(&str, u64); 7] = [
    ("the password", 5),
    ("clients were refused", 10),
    ("commands were refused", 10),
    ("closed connections", 60),
    ("refused connections", 60),
    ("failed to accept", 60),
    ("failed to agree on TLS", 60),
];

#[tokio::test(start_paused = true)]
async fn the_last_count_of_each_kind_is_logged_once_when_its_interval_has_ended() {
    let config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), "/none".into());
    let (turned_away, budget) = (TurnedAway::new(&config), Budget::new(1 << 20, 1 << 10));
    let log = Logged::here();
    for _ in 0..20 {
        turned_away.note_made_room();
        turned_away.note_refused();
        turned_away.note_failed(&io::Error::other("too many open files"));
        turned_away.note_bad_tls(|| (String::new(), "no TLS"));
        let _ = turned_away.note_wrong_password([10, 0, 0, 1].into());
        turned_away.note_arriving_command(&budget);
        turned_away.note_unanswered_command();
    }
    for second in 0..=200 {
        turned_away.log_due(&budget);
        for (text, every) in KINDS {
            let expected: &[u64] = if second < every { &[1] } else { &[1, 19] };
            assert_eq!(log.counts_of(text), expected, "{text} after {second} s");
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}
