use std::sync::Arc;

use tokio::sync::oneshot;

use super::*;
use crate::push_batch::Claim;
use crate::pusher::Room;

fn job(size: usize) -> EncodedJob {
    EncodedJob { jid: "j".into(), json: vec![b'x'; size] }
}

async fn parts(queue: &Queue, caller: &str, parts: usize, jobs: usize) -> VecDeque<Part> {
    let room = Arc::new(Room::of(Arc::clone(&queue.room).acquire_owned().await.unwrap()));
    let part = |part| {
        let jobs: Vec<_> = (0..jobs)
            .map(|job| EncodedJob { jid: format!("{caller}-{part}-{job}"), json: vec![b'x'; 100] })
            .collect();
        let (answer, _) = oneshot::channel();
        Part {
            bytes: jobs.len() * 101,
            jobs,
            claim: Claim::default(),
            answer,
            since: Instant::now(),
            _room: Arc::clone(&room),
        }
    };
    (0..parts).map(part).collect()
}

fn ids(batch: &PushBatch) -> Vec<&str> {
    batch.parts.iter().filter_map(|part| part.jobs.first()).map(|job| job.jid.as_str()).collect()
}

#[test]
fn jobs_are_divided_by_count_and_by_bytes_and_keep_their_order() {
    let sizes =
        |jobs| divide(jobs, PART_BYTES).iter().map(|(part, _)| part.len()).collect::<Vec<_>>();
    assert_eq!(sizes(vec![job(10); 600]), [250, 250, 100]);
    assert_eq!(sizes(vec![job(5000); 5]), [2, 2, 1]);
    assert_eq!(sizes(vec![job(10), job(1_000_000), job(10)]), [1, 1, 1]);
    assert_eq!(sizes(vec![]), [] as [usize; 0]);
}

#[tokio::test]
async fn callers_take_turns() {
    let queue = Queue::new();
    queue.add(None, parts(&queue, "giant", 100, 100).await);
    queue.add(None, parts(&queue, "small", 1, 1).await);
    let (first, _) = queue.gather(1000);
    let (second, _) = queue.gather(1000);
    assert_eq!((ids(&first), ids(&second)), (vec!["giant-0-0"], vec!["small-0-0"]));
}

#[tokio::test]
async fn who_comes_again_and_again_has_one_turn() {
    let queue = Queue::new();
    for _ in 0..3 {
        queue.add(Some(Source(7)), parts(&queue, "stream", 1, 100).await);
    }
    queue.add(None, parts(&queue, "small", 1, 1).await);
    let turns: Vec<_> = (0..3).map(|_| queue.gather(1000).0.jobs).collect();
    assert_eq!(turns, [100, 1, 100]);
}

#[tokio::test]
async fn what_waits_is_spread_over_the_idle_connections() {
    let queue = Queue::new();
    queue.add(None, parts(&queue, "one", 12, 100).await);
    assert_eq!(queue.gather(3).0.jobs, 300);
    assert_eq!(queue.gather(2).0.jobs, 300);
    assert_eq!(queue.gather(1).0.jobs, 300);
    assert_eq!(queue.gather(0).0.jobs, 300);
    assert_eq!(queue.next(), Next::Wait);
}

#[tokio::test]
async fn of_a_giant_batch_each_fresh_connection_gets_its_share_of_what_may_leave() {
    let queue = Queue::new();
    // 2,000 of 10,000 may leave at first: on ten idle connections 200 each at the most, not 1,000.
    queue.add(None, parts(&queue, "giant", 250, 40).await);
    let mut commands = Vec::new();
    while queue.next() == Next::Send {
        commands.push(queue.gather(9).0.jobs);
    }
    assert!(commands.len() >= 10 && commands.iter().all(|jobs| *jobs <= 200), "{commands:?}");
}

#[tokio::test]
async fn no_more_is_under_way_than_may_be() {
    let queue = Queue::new();
    queue.add(None, parts(&queue, "one", 100, 100).await);
    let mut sent = Vec::new();
    while queue.next() == Next::Send {
        sent.push(queue.gather(3));
    }
    let under_way = queue.standing().in_flight;
    assert!((2000..=2100).contains(&under_way), "{under_way}");
    for (_, sent) in sent {
        queue.over(sent);
    }
    assert_eq!((queue.standing().in_flight, queue.next()), (0, Next::Send));
}

/// Has a command answered that took so long, and so many jobs sent that are under way for the rest
/// of the test.
async fn far_and_busy(queue: &Queue, round_trip: Duration, under_way: usize) {
    queue.add(None, parts(queue, "first", 1, 1).await);
    let (_, first) = queue.gather(0);
    tokio::time::advance(round_trip).await;
    queue.answered(first);
    queue.add(None, parts(queue, "others", 1, under_way).await);
    queue.gather(0);
}

#[tokio::test(start_paused = true)]
async fn far_away_lone_jobs_gather_for_a_hundredth_of_the_round_trip_and_no_longer_once_there_are_many()
 {
    let queue = Queue::new();
    far_and_busy(&queue, Duration::from_millis(100), 250).await;
    let due = Instant::now() + Duration::from_millis(1);
    queue.add(None, parts(&queue, "lone", 1, 1).await);
    assert_eq!(queue.next(), Next::Gather(due));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(queue.next(), Next::Send);
    queue.gather(0);
    queue.add(None, parts(&queue, "few", 1, 41).await);
    assert!(matches!(queue.next(), Next::Gather(_)));
    queue.add(None, parts(&queue, "one more", 1, 1).await);
    assert_eq!(queue.next(), Next::Send);
}

#[tokio::test(start_paused = true)]
async fn nothing_gathers_on_a_quiet_link_or_over_a_short_way() {
    for (round_trip, under_way) in
        [(Duration::from_millis(100), 100), (Duration::from_millis(40), 250)]
    {
        let queue = Queue::new();
        far_and_busy(&queue, round_trip, under_way).await;
        queue.add(None, parts(&queue, "lone", 1, 1).await);
        assert_eq!(queue.next(), Next::Send, "{round_trip:?}, {under_way}");
    }
}
