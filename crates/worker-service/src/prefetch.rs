//! How many FETCHes are to be on their way, and on which lane: Little's law, with bounds. Time comes in as an argument.
//!
//! So much is fetched ahead as is consumed in two round trips, by the rate seen and by what the handlers can take at the most; nothing
//! while nothing is known. Long jobs shrink it to one.
//!
//! A FETCH on an empty queue waits for 2 s at the server, and those behind it on its lane wait for it; what has been sent is carried out even when
//! the connection is closed. So there is one FETCH on a lane unless jobs flow, and never more than can be answered before the deadline
//! of a shutdown.

use std::time::Duration;

use tokio::time::Instant;

/// The longest that Faktory takes to answer a FETCH on an empty queue (measured: 2.0 to 2.1 s).
pub(crate) const EMPTY_FETCH: Duration = Duration::from_millis(2100);
/// Round trips' worth of jobs that are fetched ahead: one is under way, and the other shows whether there is more.
const ROUND_TRIPS: f64 = 2.0;
/// Jobs that take so many round trips are long: waiting for the next one costs a twentieth, and nothing but one is fetched ahead.
const LONG: f64 = 20.0;
/// For jobs that take so many round trips, what the server has reserved for this worker is kept under twice its places.
const SLOW: f64 = 5.0;
/// Nothing more is fetched while more is unacknowledged than so many times what may be fetched; acks take a round trip too.
const UNACKNOWLEDGED: usize = 2;
const UNACKNOWLEDGED_AT_LEAST: usize = 100;
/// Each run counts so much for the time that a run takes.
const SERVICE_WEIGHT: f64 = 1.0 / 16.0;
/// The rate is looked at over so long, or a round trip if that is more.
const RATE_OVER: Duration = Duration::from_millis(100);
/// The best rate of so long counts, and of as long before.
const RATE_COUNTS: Duration = Duration::from_secs(3);
/// The shortest round trip of so long counts, and of as long before.
const ROUND_TRIP_COUNTS: Duration = Duration::from_secs(30);
/// As deep as a lane is nearby: the server finds the next FETCH when it has answered one, and after the queue has run dry a worker ends within
/// two empty FETCHes.
const NEAR_DEPTH: usize = 2;
/// A FETCH that was answered this soon did not wait for a job, whatever the round trip.
const AT_ONCE: Duration = Duration::from_millis(20);

/// What may not be exceeded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Jobs run at once.
    pub(crate) concurrency: usize,
    /// Jobs fetched, or asked for, and not running.
    pub(crate) prefetch: usize,
    /// Lanes.
    pub(crate) lanes: usize,
    /// FETCHes on one lane.
    pub(crate) depth: usize,
}

impl Limits {
    /// How deep a lane may be, so that all that is on it is answered within `time`, even where the queue is empty.
    pub(crate) fn depth_within(time: Duration) -> usize {
        ((time.as_secs_f64() / EMPTY_FETCH.as_secs_f64()) as usize).max(1)
    }
}

/// How jobs come on a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// The queue had a job at once: the lane may be deep.
    Flowing,
    /// Not known, or jobs come one by one.
    Waiting,
    /// There was nothing: the next FETCH goes out then, or when a job has come anywhere.
    Paused(Instant),
    /// The server could not: the next FETCH goes out then.
    Refused(Instant),
}

#[derive(Debug, Clone)]
struct Lane {
    /// It is wanted: it connects.
    wanted: bool,
    /// It has a connection.
    connected: bool,
    /// FETCHes on their way, with those that may be sent and have not been yet.
    fetches: usize,
    /// Those that may be sent.
    granted: usize,
    flow: Flow,
    /// When its last answer came.
    answered: Option<Instant>,
}

/// What is known and what is on its way.
#[derive(Debug)]
pub(crate) struct Prefetch {
    limits: Limits,
    poll_interval: Duration,
    lanes: Vec<Lane>,
    /// False once nothing more is to be fetched.
    may_fetch: bool,
    fetches: usize,
    buffered: usize,
    running: usize,
    /// Seconds that a run takes, smoothed.
    service: Option<f64>,
    rate: Rate,
    round_trip: RoundTrip,
}

impl Prefetch {
    pub(crate) fn new(limits: Limits, poll_interval: Duration) -> Self {
        let lane = Lane { wanted: false, connected: false, fetches: 0, granted: 0, flow: Flow::Waiting, answered: None };
        Self {
            limits,
            poll_interval,
            lanes: vec![lane; limits.lanes.max(1)],
            may_fetch: true,
            fetches: 0,
            buffered: 0,
            running: 0,
            service: None,
            rate: Rate::default(),
            round_trip: RoundTrip::default(),
        }
    }

    /// Jobs that may be fetched beyond those that have a place to run.
    fn ahead(&self, now: Instant) -> usize {
        let (Some(service), Some(round_trip)) = (self.service, self.round_trip.seconds(now)) else { return 0 };
        let most = self.limits.concurrency as f64 / service.max(1e-6);
        let jobs = ROUND_TRIPS * round_trip * self.rate.greatest(now).min(most);
        let jobs = if service >= LONG * round_trip {
            jobs.min(1.0)
        } else if service <= round_trip {
            // Such jobs wait for nothing but the server: while it works for one half, the other is on its way.
            jobs.max(self.limits.concurrency as f64)
        } else {
            jobs
        };
        jobs.ceil() as usize
    }

    /// FETCHes that may be sent now, lanes aside.
    fn room(&self, unacknowledged: usize, now: Instant) -> usize {
        if !self.may_fetch {
            return 0;
        }
        let held = self.running + self.buffered + self.fetches;
        let target = self.limits.concurrency + self.ahead(now).min(self.limits.prefetch);
        // Where the server takes no acks, it is given no reason for more.
        if unacknowledged > UNACKNOWLEDGED * target + UNACKNOWLEDGED_AT_LEAST {
            return 0;
        }
        let room = target.saturating_sub(held);
        let is_slow = self.service.zip(self.round_trip.seconds(now)).is_some_and(|(service, round_trip)| service >= SLOW * round_trip);
        if is_slow { room.min((2 * self.limits.concurrency).saturating_sub(held + unacknowledged)) } else { room }
    }

    /// Gives FETCHes to lanes, the ones with the fewest first, and wants more lanes rather than deep ones. `wake` is called with each lane
    /// that has something to do now.
    pub(crate) fn grant(&mut self, unacknowledged: usize, now: Instant, mut wake: impl FnMut(usize)) {
        let mut room = self.room(unacknowledged, now);
        // Nearby, lanes in number are enough, and a worker with deep ones takes long to end. A busy server is no long way.
        let is_near = self.round_trip.distance.is_none_or(|distance| distance < AT_ONCE.as_secs_f64());
        let depth = if is_near { self.limits.depth.min(NEAR_DEPTH) } else { self.limits.depth };
        let most = |lane: &Lane| match lane.flow {
            Flow::Flowing => depth,
            Flow::Waiting => 1,
            Flow::Paused(_) | Flow::Refused(_) => 0,
        };
        let mut more_wanted = false;
        while room > 0 {
            let can_take = |lane: &Lane| lane.connected && lane.fetches < most(lane);
            let fewest = self.lanes.iter().filter(|lane| can_take(lane)).map(|lane| lane.fetches).min();
            if !more_wanted && fewest != Some(0) {
                self.want_more(room, &mut wake);
                more_wanted = true;
            }
            let Some(fewest) = fewest else { break };
            for (number, lane) in self.lanes.iter_mut().enumerate() {
                if room > 0 && lane.fetches == fewest && can_take(lane) {
                    lane.fetches += 1;
                    lane.granted += 1;
                    self.fetches += 1;
                    room -= 1;
                    wake(number);
                }
            }
        }
    }

    /// Has so many more lanes connected; those that are being connected already will take one FETCH each.
    fn want_more(&mut self, fetches: usize, wake: &mut impl FnMut(usize)) {
        let coming = self.lanes.iter().filter(|lane| lane.wanted && !lane.connected).count();
        let unwanted = self.lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.wanted);
        for (number, lane) in unwanted.take(fetches.saturating_sub(coming)) {
            lane.wanted = true;
            wake(number);
        }
    }

    /// True where this lane is to have a connection.
    pub(crate) fn is_wanted(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.wanted)
    }

    /// The lane has a connection, whose handshake took so long.
    pub(crate) fn connected(&mut self, lane: usize, distance: Duration) {
        self.round_trip.distance = Some(distance.as_secs_f64());
        if let Some(lane) = self.lanes.get_mut(lane) {
            (lane.connected, lane.flow, lane.answered) = (true, Flow::Waiting, None);
        }
    }

    /// The lane has no connection any more.
    pub(crate) fn disconnected(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            self.fetches -= lane.fetches;
            (lane.connected, lane.fetches, lane.granted) = (false, 0, 0);
        }
    }

    /// No further FETCH on this lane; those that are out are still answered.
    pub(crate) fn retire(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            self.fetches -= lane.granted;
            lane.fetches -= lane.granted;
            (lane.connected, lane.granted) = (false, 0);
        }
    }

    /// How many FETCHes this lane may send now.
    pub(crate) fn take_granted(&mut self, lane: usize) -> usize {
        self.lanes.get_mut(lane).map_or(0, |lane| std::mem::take(&mut lane.granted))
    }

    /// A FETCH that was sent then has brought a job, which waits for a place now.
    pub(crate) fn brought_job(&mut self, lane: usize, sent: Instant, now: Instant) {
        let round_trip = self.round_trip.seconds(now).map_or(Duration::ZERO, Duration::from_secs_f64);
        let mut flows = false;
        if let Some(lane) = self.lanes.get(lane) {
            // Since the one before it was answered, or it arrived, whichever is later.
            let waiting_since = lane.answered.map_or(sent + round_trip, |answered| answered.max(sent + round_trip));
            flows = now.saturating_duration_since(waiting_since) <= round_trip.max(AT_ONCE);
        }
        self.answered(lane, if flows { Flow::Flowing } else { Flow::Waiting }, now);
        self.buffered += 1;
        if flows {
            self.round_trip.note(now.duration_since(sent).as_secs_f64(), now);
        }
        // There is something: the others need not wait any longer.
        for lane in &mut self.lanes {
            if matches!(lane.flow, Flow::Paused(_)) {
                lane.flow = Flow::Waiting;
            }
        }
    }

    /// A FETCH has found the queue empty: all lanes but the first pause.
    pub(crate) fn brought_nothing(&mut self, lane: usize, now: Instant) {
        let first = self.lanes.iter().position(|lane| lane.connected);
        let flow = if first == Some(lane) { Flow::Waiting } else { Flow::Paused(now + self.poll_interval) };
        self.answered(lane, flow, now);
    }

    /// A FETCH was answered with an error: the lane pauses.
    pub(crate) fn was_refused(&mut self, lane: usize, until: Instant) {
        self.answered(lane, Flow::Refused(until), until);
    }

    fn answered(&mut self, lane: usize, flow: Flow, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            (lane.flow, lane.answered) = (flow, Some(now));
            lane.fetches -= 1;
            self.fetches -= 1;
        }
    }

    /// Until when this lane pauses.
    pub(crate) fn paused_until(&self, lane: usize) -> Option<Instant> {
        match self.lanes.get(lane)?.flow {
            Flow::Paused(until) | Flow::Refused(until) => Some(until),
            Flow::Flowing | Flow::Waiting => None,
        }
    }

    /// The lane's pause is over.
    pub(crate) fn pause_ended(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.flow = Flow::Waiting;
        }
    }

    /// Buffered jobs have been taken out: to be run, or not.
    pub(crate) fn taken(&mut self, jobs: usize, running: bool) {
        self.buffered -= jobs;
        if running {
            self.running += jobs;
        }
    }

    /// A run has ended; `took` where it says how long runs take.
    pub(crate) fn ended(&mut self, took: Option<Duration>, now: Instant) {
        self.running -= 1;
        if let Some(took) = took {
            let took = took.as_secs_f64();
            self.service = Some(self.service.map_or(took, |service| service + (took - service) * SERVICE_WEIGHT));
            let over = RATE_OVER.max(self.round_trip.seconds(now).map_or(Duration::ZERO, Duration::from_secs_f64));
            self.rate.note(over, now);
        }
    }

    /// Jobs take at least so long, though none has ended to show it.
    pub(crate) fn takes_at_least(&mut self, time: Duration) {
        self.service = Some(self.service.map_or(time.as_secs_f64(), |service| service.max(time.as_secs_f64())));
    }

    /// Nothing more is to be fetched. FETCHes that were granted and not sent are taken back.
    pub(crate) fn stop(&mut self) {
        self.may_fetch = false;
        for lane in &mut self.lanes {
            self.fetches -= lane.granted;
            lane.fetches -= lane.granted;
            lane.granted = 0;
        }
    }

    pub(crate) fn service(&self) -> Option<Duration> {
        self.service.map(Duration::from_secs_f64)
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing {
            running: self.running,
            buffered: self.buffered,
            fetches: self.fetches,
            lanes: self.lanes.iter().filter(|lane| lane.connected).count(),
        }
    }
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) running: usize,
    /// Fetched and not running.
    pub(crate) buffered: usize,
    /// FETCHes on their way: jobs that a cut of the link could leave reserved for nobody.
    pub(crate) fetches: usize,
    /// Lanes with a connection.
    pub(crate) lanes: usize,
}

/// The best of this period and of the last.
#[derive(Debug, Default)]
struct Lately {
    since: Option<Instant>,
    current: Option<f64>,
    previous: Option<f64>,
}

impl Lately {
    /// Begins a new period where it is time to; after two without anything nothing is known.
    fn turn(&mut self, period: Duration, now: Instant) {
        let Some(since) = self.since else { return };
        let periods = now.duration_since(since).as_secs_f64() / period.as_secs_f64();
        if periods >= 1.0 {
            self.previous = if periods < 2.0 { self.current.take() } else { None };
            self.current = None;
            self.since = Some(now);
        }
    }

    fn note(&mut self, value: f64, period: Duration, now: Instant) {
        self.since.get_or_insert(now);
        self.turn(period, now);
        self.current = Some(self.current.map_or(value, |best| best.max(value)));
    }

    fn best(&self, period: Duration, now: Instant) -> Option<f64> {
        let since = self.since?;
        let periods = now.duration_since(since).as_secs_f64() / period.as_secs_f64();
        match (self.current, self.previous) {
            _ if periods >= 2.0 => None,
            (current, _) if periods >= 1.0 => current,
            (Some(current), Some(previous)) => Some(current.max(previous)),
            (current, previous) => current.or(previous),
        }
    }
}

/// Runs that ended, a second.
#[derive(Debug, Default)]
struct Rate {
    best: Lately,
    since: Option<Instant>,
    ended: u32,
}

impl Rate {
    fn note(&mut self, over: Duration, now: Instant) {
        let since = *self.since.get_or_insert(now);
        self.ended += 1;
        let lasted = now.duration_since(since);
        if lasted >= over {
            self.best.note(f64::from(self.ended) / lasted.as_secs_f64(), RATE_COUNTS, now);
            (self.since, self.ended) = (Some(now), 0);
        }
    }

    fn greatest(&self, now: Instant) -> f64 {
        self.best.best(RATE_COUNTS, now).unwrap_or(0.0)
    }
}

/// From a FETCH to the job that was there.
#[derive(Debug, Default)]
struct RoundTrip {
    /// As its negative: the best is the shortest.
    shortest: Lately,
    smoothed: Option<f64>,
    /// Of the last connection's handshake.
    distance: Option<f64>,
}

impl RoundTrip {
    fn note(&mut self, took: f64, now: Instant) {
        self.shortest.note(-took, ROUND_TRIP_COUNTS, now);
        self.smoothed = Some(self.smoothed.map_or(took, |smoothed| smoothed + (took - smoothed) / 8.0));
    }

    /// The smoothed one, between the shortest and twice that: what a busy server adds is not the way's.
    fn seconds(&self, now: Instant) -> Option<f64> {
        let shortest = self.shortest.best(ROUND_TRIP_COUNTS, now).map(|negative| -negative).or(self.distance)?;
        Some(self.smoothed.map_or(shortest, |smoothed| smoothed.clamp(shortest, 2.0 * shortest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Duration = Duration::from_millis(100);

    fn prefetch(concurrency: usize) -> Prefetch {
        Prefetch::new(Limits { concurrency, prefetch: 1000, lanes: 49, depth: 13 }, Duration::from_millis(100))
    }

    /// Connects every lane that is wanted.
    fn connect(prefetch: &mut Prefetch, way: Duration) {
        for lane in 0..prefetch.lanes.len() {
            if prefetch.is_wanted(lane) && !prefetch.lanes[lane].connected {
                prefetch.connected(lane, way);
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

    /// A server with jobs at once, a way of 100 ms, and jobs that take so long: returns the most that was held, and the jobs run a second, at
    /// the end.
    fn run(prefetch: &mut Prefetch, service: Duration, seconds: u64) -> (usize, f64) {
        run_at(prefetch, service, seconds, FAR)
    }

    /// The same over a way of this length.
    fn run_at(prefetch: &mut Prefetch, service: Duration, seconds: u64, way: Duration) -> (usize, f64) {
        let begun = Instant::now();
        let concurrency = prefetch.limits.concurrency;
        let (mut coming, mut running, mut most, mut ended) = (std::collections::VecDeque::new(), std::collections::VecDeque::new(), 0, 0);
        for tick in 0..seconds * 1000 {
            let now = begun + Duration::from_millis(tick);
            while running.front().is_some_and(|end| *end <= now) {
                running.pop_front();
                prefetch.ended(Some(service), now);
                ended += usize::from(tick >= (seconds - 2) * 1000);
            }
            while coming.front().is_some_and(|(_, sent)| *sent + way <= now) {
                let (lane, sent) = coming.pop_front().unwrap();
                prefetch.brought_job(lane, sent, now);
            }
            while running.len() < concurrency && prefetch.buffered > 0 {
                prefetch.taken(1, true);
                running.push_back(now + service);
            }
            for (lane, count) in send_at(prefetch, now, way).into_iter().enumerate() {
                coming.extend((0..count).map(|_| (lane, now)));
            }
            let standing = prefetch.standing();
            most = most.max(standing.running + standing.buffered + standing.fetches);
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
    fn nearby_no_lane_is_deeper_than_two() {
        let mut prefetch = prefetch(15);
        let now = Instant::now();
        send(&mut prefetch, now);
        for lane in 0..15 {
            prefetch.round_trip.distance = Some(0.001);
            prefetch.brought_job(lane, now, now + Duration::from_millis(1));
            prefetch.taken(1, true);
            prefetch.ended(Some(Duration::from_micros(10)), now + Duration::from_millis(1));
        }
        let sent = send(&mut prefetch, now + Duration::from_millis(1));
        assert_eq!((sent.iter().sum::<usize>(), sent.iter().max()), (30, Some(&2)));
        // Nor where there can be no more lanes, however much there is to do and however long the server takes.
        let mut many = self::prefetch(200);
        let (_, rate) = run_at(&mut many, Duration::from_millis(1), 3, Duration::from_millis(1));
        assert!(rate > 10_000.0 && many.lanes.iter().all(|lane| lane.fetches <= 2), "{rate}");
    }

    #[test]
    fn jobs_of_10_ms_keep_the_places_busy() {
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
        // All that is out is answered with nothing, one every 2 s on each lane.
        while prefetch.standing().fetches > 0 {
            now += EMPTY_FETCH;
            for lane in 0..49 {
                if prefetch.lanes[lane].fetches > 0 {
                    prefetch.brought_nothing(lane, now);
                }
            }
            prefetch.grant(0, now, |_| ());
            assert!(prefetch.lanes.iter().skip(1).all(|lane| lane.granted == 0));
            if prefetch.standing().fetches == 1 {
                break;
            }
        }
        assert_eq!((prefetch.lanes[0].fetches, prefetch.take_granted(0)), (1, 1), "the first waits at the server");
        assert!(prefetch.paused_until(7).is_some());
        // A job comes: the pauses are over, and one that came alone makes no lane deep.
        prefetch.brought_job(0, now, now + Duration::from_secs(1));
        assert_eq!(prefetch.paused_until(7), None);
        let sent = send(&mut prefetch, now + Duration::from_secs(1));
        assert!(sent.iter().all(|count| *count <= 1), "{sent:?}");
    }

    #[test]
    fn a_lane_that_is_lost_gives_back_what_was_out() {
        let mut prefetch = prefetch(3);
        send(&mut prefetch, Instant::now());
        prefetch.disconnected(1);
        assert_eq!(prefetch.standing().fetches, 2);
        prefetch.stop();
        assert!(send(&mut prefetch, Instant::now()).iter().all(|count| *count == 0));
    }

    #[test]
    fn a_lane_that_was_refused_pauses_though_others_have_jobs() {
        let mut prefetch = prefetch(3);
        let now = Instant::now();
        send(&mut prefetch, now);
        prefetch.was_refused(1, now + Duration::from_secs(1));
        prefetch.brought_job(0, now, now);
        assert_eq!(prefetch.paused_until(1), Some(now + Duration::from_secs(1)));
        prefetch.taken(1, true);
        prefetch.ended(None, now);
        prefetch.pause_ended(1);
        assert_eq!(send(&mut prefetch, now + Duration::from_secs(1)).get(1), Some(&1));
    }

    #[test]
    fn a_lane_is_as_deep_as_a_shutdown_has_time_for() {
        assert_eq!(Limits::depth_within(Duration::from_secs(28)), 13);
        assert_eq!(Limits::depth_within(Duration::from_secs(1)), 1);
    }
}
