//! Tests of the queue: turns, sizes of commands, pauses.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::*;
use crate::chunk::Claim;
use crate::outcome::EncodedJob;

fn chunks(queue: &Queue, caller: &str, chunks: usize, jobs: usize) -> VecDeque<Chunk> {
    let permit = Arc::new(queue.budgets.try_acquire(1).unwrap());
    let chunk = |chunk| {
        let jobs: Vec<_> = (0..jobs)
            .map(|job| EncodedJob::new(format!("{caller}-{chunk}-{job}"), vec![b'x'; 100]))
            .collect();
        let (answer, _) = oneshot::channel();
        Chunk {
            bytes: jobs.len() * 101,
            jobs,
            claim: Claim::default(),
            answer,
            since: Instant::now(),
            deadline: Instant::now() + Duration::from_secs(60),
            _permit: Arc::clone(&permit),
            earlier: None,
        }
    };
    (0..chunks).map(chunk).collect()
}

fn ids(batch: &PushBatch) -> Vec<&str> {
    batch.chunks.iter().filter_map(|chunk| chunk.jobs.first()).map(|job| job.jid.as_str()).collect()
}

#[test]
fn a_small_caller_has_its_turn_before_a_giant_one_is_done() {
    let queue = Queue::new();
    queue.add(None, chunks(&queue, "giant", 100, 100));
    queue.add(None, chunks(&queue, "small", 1, 1));
    let (first, _) = queue.take_batch(1000);
    let (second, _) = queue.take_batch(1000);
    assert_eq!((ids(&first), ids(&second)), (vec!["giant-0-0"], vec!["small-0-0"]));
}

#[test]
fn pushes_with_one_fairness_key_share_one_turn() {
    let queue = Queue::new();
    for _ in 0..3 {
        queue.add(Some(FairnessKey(7)), chunks(&queue, "stream", 1, 100));
    }
    queue.add(None, chunks(&queue, "small", 1, 1));
    let turns: Vec<_> = (0..3).map(|_| queue.take_batch(1000).0.jobs).collect();
    assert_eq!(turns, [100, 1, 100]);
}

#[test]
fn waiting_jobs_are_spread_over_the_idle_connections() {
    let queue = Queue::new();
    queue.add(None, chunks(&queue, "one", 12, 100));
    assert_eq!(queue.take_batch(3).0.jobs, 300);
    assert_eq!(queue.take_batch(2).0.jobs, 300);
    assert_eq!(queue.take_batch(1).0.jobs, 300);
    assert_eq!(queue.take_batch(0).0.jobs, 300);
    assert_eq!(queue.next(), Next::Wait);
}

#[test]
fn each_fresh_connection_gets_its_share_of_the_jobs_of_a_giant_batch_that_may_leave() {
    let queue = Queue::new();
    // 2,000 of 10,000 may leave at first: on ten idle connections 200 each at the most, not 1,000.
    queue.add(None, chunks(&queue, "giant", 250, 40));
    let mut commands = Vec::new();
    while queue.next() == Next::Send {
        commands.push(queue.take_batch(9).0.jobs);
    }
    assert!(commands.len() >= 10 && commands.iter().all(|jobs| *jobs <= 200), "{commands:?}");
}

#[test]
fn no_more_jobs_are_in_flight_than_the_estimate_allows() {
    let queue = Queue::new();
    queue.add(None, chunks(&queue, "one", 100, 100));
    let mut sent = Vec::new();
    while queue.next() == Next::Send {
        sent.push(queue.take_batch(3));
    }
    let in_flight = queue.status().in_flight;
    assert!((2000..=2100).contains(&in_flight), "{in_flight}");
    for (_, sent) in sent {
        queue.unanswered(sent);
    }
    assert_eq!((queue.status().in_flight, queue.next()), (0, Next::Send));
}

/// Has the first command of a queue answered after this round trip, and sends `in_flight` jobs that
/// are not answered during the test.
async fn far_and_busy(queue: &Queue, round_trip: Duration, in_flight: usize) {
    queue.add(None, chunks(queue, "first", 1, 1));
    let (_, first) = queue.take_batch(0);
    tokio::time::advance(round_trip).await;
    queue.answered(first);
    queue.add(None, chunks(queue, "others", 1, in_flight));
    queue.take_batch(0);
}

#[tokio::test(start_paused = true)]
async fn few_jobs_on_a_distant_busy_link_wait_for_a_hundredth_of_the_round_trip() {
    let queue = Queue::new();
    far_and_busy(&queue, Duration::from_millis(100), 250).await;
    let due = Instant::now() + Duration::from_millis(1);
    queue.add(None, chunks(&queue, "lone", 1, 1));
    assert_eq!(queue.next(), Next::Pause(due));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(queue.next(), Next::Send);
    queue.take_batch(0);
    queue.add(None, chunks(&queue, "few", 1, 41));
    assert!(matches!(queue.next(), Next::Pause(_)));
    queue.add(None, chunks(&queue, "one more", 1, 1));
    assert_eq!(queue.next(), Next::Send);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_or_near_link_makes_no_pause() {
    for (round_trip, in_flight) in
        [(Duration::from_millis(100), 100), (Duration::from_millis(40), 250)]
    {
        let queue = Queue::new();
        far_and_busy(&queue, round_trip, in_flight).await;
        queue.add(None, chunks(&queue, "lone", 1, 1));
        assert_eq!(queue.next(), Next::Send, "{round_trip:?}, {in_flight}");
    }
}
