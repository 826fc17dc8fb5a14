//! The end of a push's time, on a clock of the test.

use futures_util::FutureExt;

use super::*;
use crate::config::LinkConfig;

/// Chunks of one job each, and the senders of their answers.
fn chunks(count: usize) -> (Vec<WaitingChunk>, Vec<oneshot::Sender<Vec<JobOutcome>>>) {
    let chunk = |_| {
        let (answer, answered) = oneshot::channel();
        (WaitingChunk { count: 1, claim: Claim::default(), answered }, answer)
    };
    (0..count).map(chunk).unzip()
}

fn is_unknown(outcome: &JobOutcome) -> bool {
    matches!(outcome, JobOutcome::Unknown(_))
}

#[tokio::test(start_paused = true)]
async fn all_chunks_that_are_claimed_and_not_written_share_one_second() {
    let (queue, (chunks, mut answers)) = (Queue::new(), chunks(40));
    // All but the last are claimed, and none is written.
    assert!(chunks.iter().take(39).all(|chunk| chunk.claim.try_claim()));
    let begun = Instant::now();
    let deadline = begun + Duration::from_secs(3);
    // One answer comes in the second after the deadline.
    let answer = answers.remove(1);
    tokio::spawn(async move {
        tokio::time::sleep_until(deadline + PASSED_ON / 2).await;
        answer.send(vec![JobOutcome::Stored]).unwrap();
    });
    let outcomes = outcomes(chunks, &queue, deadline).await;
    let took = begun.elapsed();
    assert!(took <= Duration::from_secs(3) + 2 * PASSED_ON, "{took:?}");
    assert_eq!(outcomes.len(), 40);
    assert_eq!(outcomes[1], JobOutcome::Stored);
    assert!(matches!(outcomes[39], JobOutcome::NotSent(NotSent::TimedOut, _)));
    assert_eq!(outcomes.iter().filter(|outcome| is_unknown(outcome)).count(), 38);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_push_is_answered_well_within_a_second() {
    // Abandoned while it waits, and abandoned during its last look.
    for (deadline, abandoned) in [(60_000, 2_000), (1_000, 1_900)] {
        let (queue, (chunks, _answers)) = (Queue::new(), chunks(20));
        assert!(chunks.iter().skip(1).all(|chunk| chunk.claim.try_claim()));
        let begun = Instant::now();
        let after = |millis| begun + Duration::from_millis(millis);
        let (outcomes, ()) = tokio::join!(outcomes(chunks, &queue, after(deadline)), async {
            tokio::time::sleep_until(after(abandoned)).await;
            queue.abandoned.send_replace(true);
        });
        let took = after(abandoned).elapsed();
        assert!(took <= 2 * PASSED_ON_ABANDONED, "{took:?}");
        assert!(matches!(outcomes[0], JobOutcome::NotSent(_, _)), "{:?}", outcomes[0]);
        assert_eq!(outcomes.iter().filter(|outcome| is_unknown(outcome)).count(), 19);
    }
}

#[tokio::test]
async fn the_end_of_the_task_that_sends_is_told_however_it_comes() {
    for breaks_off in [false, true] {
        let pusher = Pusher::new(LinkPool::new(LinkConfig::new("127.0.0.1", 9)).unwrap());
        assert!(pusher.until_ended().now_or_never().is_none());
        if breaks_off {
            let task = pusher.task.lock().unwrap().take();
            task.unwrap().abort();
        } else {
            pusher.close().await;
        }
        pusher.until_ended().await;
    }
}
