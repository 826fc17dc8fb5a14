use super::limits::EMPTY_FETCH;
use super::*;

const FAR: Duration = Duration::from_millis(100);

fn prefetch(concurrency: usize) -> Prefetch {
    Prefetch::new(
        Limits { concurrency, prefetch: 1000, lanes: 49, depth: 13 },
        Duration::from_millis(100),
    )
}

/// Connects every lane that is wanted.
fn connect(prefetch: &mut Prefetch, way: Duration) {
    for lane in 0..prefetch.lanes.len() {
        if prefetch.is_wanted(lane) && !prefetch.lanes[lane].connected {
            prefetch.connected(lane, way, false);
        }
    }
}

/// Grants, sends and connects; returns the FETCHes by lane.
fn send(prefetch: &mut Prefetch, now: Instant) -> Vec<usize> {
    send_at(prefetch, now, FAR)
}

fn send_at(prefetch: &mut Prefetch, now: Instant, way: Duration) -> Vec<usize> {
    prefetch.grant(0, now, |_| ());
    connect(prefetch, way);
    prefetch.grant(0, now, |_| ());
    (0..prefetch.lanes.len()).map(|lane| prefetch.take_granted(lane)).collect()
}

/// A server that has jobs at once, a way of 100 ms, and jobs that take `service`: returns the
/// greatest number of jobs that were held, and the jobs run a second, at the end.
fn run(prefetch: &mut Prefetch, service: Duration, seconds: u64) -> (usize, f64) {
    run_at(prefetch, service, seconds, FAR)
}

/// As `run`, over a way of this length.
fn run_at(prefetch: &mut Prefetch, service: Duration, seconds: u64, way: Duration) -> (usize, f64) {
    let begun = Instant::now();
    let concurrency = prefetch.limits.concurrency;
    let (mut coming, mut running, mut most, mut ended) =
        (std::collections::VecDeque::new(), std::collections::VecDeque::new(), 0, 0);
    for tick in 0..seconds * 1000 {
        let now = begun + Duration::from_millis(tick);
        while running.front().is_some_and(|end| *end <= now) {
            running.pop_front();
            let _ = prefetch.ended(Some(service), now);
            ended += usize::from(tick >= (seconds - 2) * 1000);
        }
        while coming.front().is_some_and(|(_, sent)| *sent + way <= now) {
            let (lane, sent) = coming.pop_front().unwrap();
            prefetch.brought_jobs(lane, (1, 1), sent, now);
        }
        while running.len() < concurrency && prefetch.buffered > 0 {
            prefetch.begun();
            running.push_back(now + service);
        }
        for (lane, count) in send_at(prefetch, now, way).into_iter().enumerate() {
            coming.extend((0..count).map(|_| (lane, now)));
        }
        let now_held = prefetch.snapshot();
        most = most.max(now_held.running + now_held.buffered + now_held.fetches);
    }
    (most, ended as f64 / 2.0)
}

#[test]
fn nothing_is_fetched_ahead_while_nothing_is_known() {
    let mut prefetch = prefetch(10);
    let sent = send(&mut prefetch, Instant::now());
    assert_eq!(sent.iter().sum::<usize>(), 10);
    assert!(sent.iter().all(|count| *count <= 1), "lanes before depth: {sent:?}");
}

#[test]
fn short_jobs_far_away_fill_every_lane() {
    let mut prefetch = prefetch(15);
    let (most, rate) = run(&mut prefetch, Duration::from_millis(1), 5);
    assert!(most <= 15 + 1000, "{most}");
    assert!(rate > 0.9 * 49.0 * 13.0 / 0.1, "{rate}");
}

#[test]
fn fetches_go_out_together_where_many_jobs_are_fetched_ahead() {
    let mut many = prefetch(20);
    run(&mut many, Duration::from_millis(10), 5);
    let now = Instant::now() + Duration::from_secs(5);
    let running = many.running;
    let sent: Vec<usize> = (0..running)
        .map(|_| {
            many.ended(Some(Duration::from_millis(10)), now);
            send(&mut many, now).iter().sum()
        })
        .collect();
    assert!(running > 10 && sent.iter().all(|sent| *sent == 0 || *sent >= 13), "{sent:?}");
    assert!(sent.iter().any(|sent| *sent > 0), "{sent:?}");
}

#[test]
fn a_small_cap_holds_nothing_up() {
    for cap in [0, 1, 3] {
        let mut few = prefetch(1);
        few.limits.prefetch = cap;
        let (most, rate) = run(&mut few, Duration::from_millis(1), 5);
        assert!(most == 1 + cap && rate >= 9.0, "{cap}: {most} held, {rate} a second");
    }
}

#[test]
fn nearby_no_lane_is_deeper_than_two_where_that_is_enough() {
    let mut prefetch = prefetch(15);
    let now = Instant::now();
    send(&mut prefetch, now);
    for lane in 0..15 {
        prefetch.connected(lane, Duration::from_millis(1), false);
        prefetch.brought_jobs(lane, (1, 1), now, now + Duration::from_millis(1));
        prefetch.begun();
        prefetch.ended(Some(Duration::from_micros(10)), now + Duration::from_millis(1));
    }
    let sent = send(&mut prefetch, now + Duration::from_millis(1));
    assert_eq!((sent.iter().sum::<usize>(), sent.iter().max()), (30, Some(&2)));
    // Nor where there can be no more lanes, as long as two are enough for the rate.
    let mut many = self::prefetch(20);
    let (_, rate) = run_at(&mut many, Duration::from_millis(1), 3, Duration::from_millis(1));
    assert!(rate > 10_000.0 && many.lanes.iter().all(|lane| lane.fetches <= 2), "{rate}");
}

#[test]
fn in_a_large_lan_few_lanes_are_as_deep_as_the_rate_asks_for() {
    let mut few = prefetch(15);
    few.lanes.truncate(14);
    let (_, rate) = run_at(&mut few, Duration::from_millis(1), 5, Duration::from_millis(10));
    assert!(rate > 0.9 * 15.0 / 0.001, "as much as 15 slots run: {rate}");
}

#[test]
fn jobs_of_10_ms_keep_the_slots_busy() {
    let (most, rate) = run(&mut prefetch(20), Duration::from_millis(10), 5);
    assert!(rate >= 0.97 * 2000.0, "{rate}");
    assert!(most <= 20 + 500, "{most}");
}

#[test]
fn jobs_of_a_second_are_hardly_fetched_ahead() {
    let (most, rate) = run(&mut prefetch(10), Duration::from_secs(1), 20);
    assert!(most <= 12, "{most}");
    assert!(rate >= 9.5, "{rate}");
}

#[test]
fn of_long_jobs_only_one_is_fetched_ahead() {
    let (most, _) = run(&mut prefetch(20), Duration::from_secs(5), 30);
    assert_eq!(most, 21);
}

#[test]
fn what_is_not_acknowledged_counts_for_slow_jobs() {
    let mut prefetch = prefetch(10);
    run(&mut prefetch, Duration::from_secs(1), 5);
    let (now, held) = (Instant::now() + Duration::from_secs(5), 0);
    for lane in 0..49 {
        prefetch.disconnected(lane);
    }
    prefetch.buffered = 0;
    prefetch.running = held;
    assert_eq!((prefetch.room(15, now), prefetch.room(0, now)), (5, 12));
}

#[test]
fn on_an_empty_queue_there_is_one_fetch_a_lane_and_all_but_one_pause() {
    let mut prefetch = prefetch(15);
    run(&mut prefetch, Duration::from_millis(1), 3);
    let mut now = Instant::now() + Duration::from_secs(3);
    // Every FETCH in flight finds no job, one every 2 s on each lane.
    while prefetch.snapshot().fetches > 0 {
        now += EMPTY_FETCH;
        for lane in 0..49 {
            if prefetch.lanes[lane].fetches > 0 {
                prefetch.brought_nothing(lane, 1, now);
            }
        }
        prefetch.grant(0, now, |_| ());
        assert!(prefetch.lanes.iter().skip(1).all(|lane| lane.granted == 0));
        if prefetch.snapshot().fetches == 1 {
            break;
        }
    }
    assert_eq!(
        (prefetch.lanes[0].fetches, prefetch.take_granted(0)),
        (1, 1),
        "the first waits at the server"
    );
    assert!(prefetch.paused_until(7).is_some());
    // A job comes: the pauses are over, and a job that came alone makes no lane deep.
    prefetch.brought_jobs(0, (1, 1), now, now + Duration::from_secs(1));
    assert_eq!(prefetch.paused_until(7), None);
    let sent = send(&mut prefetch, now + Duration::from_secs(1));
    assert!(sent.iter().all(|count| *count <= 1), "{sent:?}");
}

#[test]
fn a_lane_that_is_lost_has_no_fetches_in_flight() {
    let mut prefetch = prefetch(3);
    send(&mut prefetch, Instant::now());
    prefetch.disconnected(1);
    assert_eq!(prefetch.snapshot().fetches, 2);
    prefetch.stop();
    assert!(send(&mut prefetch, Instant::now()).iter().all(|count| *count == 0));
}

#[test]
fn a_lane_that_was_refused_pauses_though_others_have_jobs() {
    let mut prefetch = prefetch(3);
    let now = Instant::now();
    send(&mut prefetch, now);
    prefetch.was_refused(1, 1, now + Duration::from_secs(1));
    prefetch.brought_jobs(0, (1, 1), now, now);
    assert_eq!(prefetch.paused_until(1), Some(now + Duration::from_secs(1)));
    prefetch.begun();
    prefetch.ended(None, now);
    prefetch.pause_ended(1);
    assert_eq!(send(&mut prefetch, now + Duration::from_secs(1)).get(1), Some(&1));
}

#[test]
fn a_lane_is_as_deep_as_a_shutdown_has_time_for() {
    assert_eq!(Limits::depth_within(Duration::from_secs(28)), 13);
    assert_eq!(Limits::depth_within(Duration::from_secs(1)), 1);
}

#[test]
fn a_handshake_that_lost_a_packet_is_no_long_way() {
    let mut prefetch = prefetch(15);
    prefetch.connected(0, Duration::from_millis(1), false);
    prefetch.connected(1, Duration::from_secs(1), false);
    assert_eq!(prefetch.round_trip.way(), Some(Duration::from_millis(1)));
    // All connections are made anew, over a way that has changed.
    prefetch.disconnected(0);
    prefetch.disconnected(1);
    prefetch.connected(0, FAR, false);
    assert_eq!(prefetch.round_trip.way(), Some(FAR));
}

#[test]
fn nothing_is_fetched_while_the_jobs_that_are_here_take_all_the_memory() {
    let (mut prefetch, now) = (prefetch(10), Instant::now());
    prefetch.set_full(true);
    assert_eq!(send(&mut prefetch, now).iter().sum::<usize>(), 0);
    prefetch.set_full(false);
    assert!(send(&mut prefetch, now).iter().sum::<usize>() > 0);
}

/// Thirty jobs a millisecond, over a way of a twentieth of that.
#[test]
fn nearby_short_jobs_are_fetched_ahead_for_two_milliseconds() {
    let way = Duration::from_micros(50);
    let mut near = prefetch(15);
    let mut now = Instant::now();
    for _ in 0..6000 {
        let sent = send_at(&mut near, now, way);
        let lane = sent.iter().position(|count| *count > 0);
        let lane = lane.or_else(|| near.lanes.iter().position(|lane| lane.fetches > 0)).unwrap();
        now += way;
        near.brought_jobs(lane, (1, 1), now.checked_sub(way).unwrap(), now);
        near.begun();
        near.ended(Some(Duration::from_micros(1)), now);
    }
    // 20 jobs a millisecond came, and so 15 and 40 are held.
    send_at(&mut near, now, way);
    let held = near.snapshot().fetches;
    assert!((50..=60).contains(&held), "{held}");
}

/// Grants, and sends; the jobs that the lanes ask for.
fn granted(prefetch: &mut Prefetch, now: Instant) -> Vec<usize> {
    prefetch.grant(0, now, |_| ());
    (0..prefetch.lanes.len()).map(|lane| prefetch.take_granted(lane)).collect()
}

/// A worker of 15 slots near a server that takes commands for many jobs, on one lane on which jobs
/// flow: as many as are fetched ahead for 2 ms at 100 jobs a millisecond.
fn near_and_many() -> (Prefetch, Instant) {
    let mut near = prefetch(15);
    let mut now = Instant::now();
    near.grant(0, now, |_| ());
    near.connected(0, WAY, true);
    for _ in 0..400 {
        let fetched = granted(&mut near, now)[0];
        let sent = now;
        now += WAY;
        near.brought_jobs(0, (fetched, fetched), sent, now);
        for _ in 0..near.buffered.min(50) {
            near.begun();
            near.ended(Some(Duration::from_micros(5)), now);
        }
    }
    near.ends_to_grant = 0;
    (near, now)
}

const WAY: Duration = Duration::from_micros(500);

#[test]
fn many_jobs_are_asked_for_in_one_command_and_no_more_than_two_are_in_flight() {
    let (mut near, now) = near_and_many();
    let ahead = near.limits.concurrency + near.ahead(now);
    assert!((100..=220).contains(&ahead), "{ahead}");
    near.buffered = 0;
    let first = granted(&mut near, now)[0];
    assert_eq!((first, near.lanes[0].commands), (ahead, 1), "all that there is room for");
    near.brought_jobs(0, (first, 3), now, now + WAY);
    assert_eq!((near.buffered, near.lanes[0].commands, near.snapshot().fetches), (3, 0, 0));
    assert_eq!(granted(&mut near, now)[0], ahead - 3);
    // The queue is empty: the next one asks for one job.
    near.brought_nothing(0, ahead - 3, now);
    assert_eq!((granted(&mut near, now)[0], near.lanes[0].commands), (1, 1));
}

#[test]
fn a_lane_that_is_lost_or_refused_takes_its_commands_for_many_jobs_along() {
    let (mut near, now) = near_and_many();
    near.buffered = 0;
    let asked = granted(&mut near, now)[0];
    near.was_refused(0, asked, now + Duration::from_secs(1));
    assert_eq!((near.lanes[0].commands, near.snapshot().fetches), (0, 0));
    near.pause_ended(0);
    assert_eq!(granted(&mut near, now)[0], 1);
    near.disconnected(0);
    assert_eq!((near.lanes[0].commands, near.snapshot().fetches), (0, 0));
}

#[test]
fn the_ends_of_runs_grant_nothing_until_as_many_have_ended_as_are_asked_for_together() {
    let (mut near, now) = near_and_many();
    near.buffered = near.limits.concurrency + near.ahead(now) - 1;
    let together = near.ahead(now) / 4;
    assert_eq!(granted(&mut near, now)[0], 0, "room for one");
    let mut ends = 1;
    near.begun();
    while near.ended(None, now) {
        near.begun();
        ends += 1;
    }
    assert!(ends == together - 1 && together > 10, "{ends} of {together}");
    assert_eq!(granted(&mut near, now)[0], together);
}
