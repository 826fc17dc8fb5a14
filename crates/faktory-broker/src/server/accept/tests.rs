//! The accepting task, and what it does meanwhile.

use testkit::Logged;

use super::*;
use crate::catch_up::CatchUp;

#[tokio::test(start_paused = true)]
async fn the_accepting_task_logs_the_last_count_of_a_burst() {
    let config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), "/none".into());
    let (_catch_up, asked) = CatchUp::new(config.handshake_timeout);
    let (core, _events) = flume::bounded(1);
    let turned_away = Arc::new(TurnedAway::new(&config));
    let accept = Accept::new(config, core, asked, Arc::clone(&turned_away));
    let log = Logged::here();
    for _ in 0..20 {
        turned_away.note_refused();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_stop, stopping) = watch::channel(false);
    let over = tokio::time::sleep(Duration::from_secs(100));
    tokio::select! {
        () = accept.run(listener, stopping) => panic!("nothing stops the task"),
        () = over => {}
    }
    assert_eq!(log.counts_of("refused connections"), [1, 19]);
}
