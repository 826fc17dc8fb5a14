//! The times of FETCHes, on a scripted work server and a clock that stands still until it is moved.

use testkit::Quirky;

use super::*;
use crate::fetch_line::FetchLine;
use crate::prefetch::Limits;
use crate::reporting::ReportQueues;

/// How long the FETCH of the lane waits before it is written.
const BEFORE_THE_WRITE: Duration = Duration::from_secs(5);
/// How long its reply then takes.
const BEFORE_THE_REPLY: Duration = Duration::from_secs(1);
const JOB: &str = r#"{"jid":"job-00000001","jobtype":"t","args":[]}"#;

fn flow() -> Arc<Flow> {
    let limits = Limits { concurrency: 1, prefetch: 1, lanes: 1, depth: 1 };
    Arc::new(Flow::new(
        FetchLine::new(&service_runtime::QueueOrder::strict(["q"]).unwrap()),
        limits,
        Duration::from_secs(1),
        1 << 20,
        Arc::new(faktory_link::ReplyBudget::new(1 << 20)),
        Arc::new(ReportQueues::new(1)),
        Arc::default(),
    ))
}

/// A server that holds the first command up, and with it the window for the next one; then it
/// answers a FETCH with a job.
async fn server() -> Quirky {
    Quirky::start(|_, mut session| async move {
        session.welcome().await;
        assert_eq!(session.line().await.unwrap(), "INFO");
        tokio::time::sleep(BEFORE_THE_WRITE).await;
        session.send("+OK\r\n").await;
        assert_eq!(session.line().await.unwrap(), "FETCH q");
        tokio::time::sleep(BEFORE_THE_REPLY).await;
        session.send(&format!("${}\r\n{JOB}\r\n", JOB.len())).await;
        session.silence().await;
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_reservation_counts_from_before_its_fetch_is_written_and_not_from_when_that_is_known() {
    let server = server().await;
    let minute = Duration::from_secs(60);
    let link = LinkConfig { window_commands: 1, read_timeout: minute, ..server.link() };
    let lifecycle = Arc::new(Lifecycle::new("host".into(), vec![]));
    let flow = flow();
    let identity = lifecycle.identity();
    let connection = Connection::open(&link, Some(&identity)).await.unwrap();
    let _held_up = connection.submit(b"INFO\r\n".to_vec()).await.unwrap();
    let lane = FetchLane::new(&link, lifecycle, Arc::clone(&flow), 0);
    let mut backoff = Backoff::default();
    let handed_over = Instant::now();
    flow.note(|prefetch, _| prefetch.connected(0, Duration::ZERO, false));
    let (job, _) = tokio::select! {
        _ = lane.serve(&connection, &identity.wid, &mut backoff) => panic!("nothing ends the lane"),
        job = flow.begin_next() => job.unwrap(),
    };
    assert_eq!(job.came - handed_over, BEFORE_THE_WRITE + BEFORE_THE_REPLY);
    assert_eq!(job.fetched, handed_over);
}
