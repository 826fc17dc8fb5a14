//! Seeded random commands and crashes, against a simple account of where each job must be.

use std::collections::HashMap;

use faktory_wire::Job;

use super::{A, B, World, check_tables, seconds};

/// The account: ids of jobs by where they must be.
struct Account {
    seed: u64,
    random: fastrand::Rng,
    world: World,
    waiting: Vec<String>,
    reserved: Vec<String>,
    /// For each job that was fetched, the number of its last reservation.
    numbers: HashMap<String, u64>,
    scheduled: Vec<String>,
    /// The number of runs that ended, by success or failure.
    finished: u64,
    /// Jobs that were fetched since the last sync: a crash undoes these fetches.
    unsynced: Vec<String>,
}

impl Account {
    fn new(seed: u64) -> Self {
        let mut world = World::new();
        world.wf = Some(1);
        world.connect(A, None);
        world.connect(B, None);
        Self {
            seed,
            random: fastrand::Rng::with_seed(seed),
            world,
            waiting: Vec::new(),
            reserved: Vec::new(),
            numbers: HashMap::new(),
            scheduled: Vec::new(),
            finished: 0,
            unsynced: Vec::new(),
        }
    }

    /// Does one thing at random, where the account allows it.
    fn step(&mut self, step: u32) {
        match self.random.u8(0..24) {
            0..=3 => self.push(step),
            4..=6 if !self.waiting.is_empty() => self.fetch(),
            7 if !self.reserved.is_empty() => self.ack(),
            8 if !self.waiting.is_empty() => self.lose_a_connection(),
            9 if !self.reserved.is_empty() => self.fail(),
            10 => self.schedule(step),
            11 if !self.scheduled.is_empty() => self.requeue(),
            12 if self.random.u8(0..3) == 0 => self.crash(),
            13 if self.random.u8(0..12) == 0 => self.remove_the_queue(),
            14 if self.random.u8(0..24) == 0 => self.push_many(step),
            15 if self.scheduled.len() > 3 => self.requeue_all(),
            16 => self.pause_and_resume_all(),
            17 | 18 if !self.reserved.is_empty() => self.give_back(),
            19 if !self.numbers.is_empty() => self.give_back_again(),
            20 if !self.waiting.is_empty() => self.give_back_what_was_returned(),
            21 | 22 if !self.waiting.is_empty() => self.fetch_many(),
            23 if !self.reserved.is_empty() => self.ack_many(),
            _ => {}
        }
    }

    fn push(&mut self, step: u32) {
        // Half of the seeds build queues that are far longer than what is kept in memory.
        let most = if self.seed.is_multiple_of(2) { 1 } else { 40 };
        for n in 0..self.random.usize(1..=most) {
            let jid = format!("job-{}-{step:06}-{n}", self.seed);
            self.world.push(&jid, r#","reserve_for":86400"#);
            self.waiting.push(jid);
        }
        self.unsynced.clear();
    }

    fn fetch(&mut self) {
        let job = self.world.fetch();
        self.fetched(job);
    }

    fn fetch_many(&mut self) {
        let most = self.random.usize(1..60);
        let line = format!(r#"WF FETCH {{"n":{most},"queues":["default"]}}"#);
        let faktory_wire::Reply::Bulk(body) = self.world.ask(&line) else { panic!("no jobs") };
        let jobs: Vec<_> = body.split(|byte| *byte == b'\n').collect();
        assert_eq!(jobs.len(), most.min(self.waiting.len()), "seed {}", self.seed);
        jobs.into_iter().for_each(|job| self.fetched(Job::parse(job).unwrap()));
    }

    fn fetched(&mut self, job: Job) {
        let jid = job.jid;
        self.numbers.insert(jid.clone(), job.reservation.unwrap());
        assert!(self.waiting.contains(&jid), "seed {}: {jid} was handed out twice", self.seed);
        self.waiting.retain(|other| *other != jid);
        self.unsynced.push(jid.clone());
        self.reserved.push(jid);
    }

    fn ack(&mut self) {
        let jid = self.reserved.swap_remove(self.random.usize(..self.reserved.len()));
        self.world.ask(&format!(r#"ACK {{"jid":"{jid}"}}"#));
        self.finished += 1;
        self.unsynced.clear();
    }

    /// A worker ends some jobs, and sends again what has ended before, also by a crash.
    fn ack_many(&mut self) {
        let ended = self.numbers.keys().filter(|jid| !self.reserved.contains(jid));
        let mut ended: Vec<_> = ended.cloned().collect();
        ended.sort_unstable();
        ended.truncate(self.random.usize(..4));
        self.random.shuffle(&mut self.reserved);
        let count = self.random.usize(1..=self.reserved.len());
        let done: Vec<_> = self.reserved.drain(..count).collect();
        let named = done.iter().chain(&ended);
        let named = named.map(|jid| format!(r#"["{jid}",{}]"#, self.numbers[jid]));
        let line = format!(r#"WF ACK {{"jobs":[{}]}}"#, named.collect::<Vec<_>>().join(","));
        for _ in 0..self.random.usize(1..3) {
            assert_eq!(self.world.ask(&line), faktory_wire::Reply::OK);
        }
        self.finished += count as u64;
        self.unsynced.clear();
    }

    /// A worker gives a job back; half of them are due later.
    fn give_back(&mut self) {
        let jid = self.reserved.swap_remove(self.random.usize(..self.reserved.len()));
        let is_later = self.random.bool();
        for _ in 0..self.random.usize(1..3) {
            self.say_requeue(&jid, self.numbers[&jid], is_later);
        }
        if is_later { &mut self.scheduled } else { &mut self.waiting }.push(jid);
        self.unsynced.clear();
    }

    fn say_requeue(&mut self, jid: &str, number: u64, is_later: bool) {
        let at = if is_later { r#","at":"2100-01-01T00:00:00Z""# } else { "" };
        let line = format!(r#"WF REQUEUE {{"jid":"{jid}","reservation":{number}{at}}}"#);
        assert_eq!(self.world.ask(&line), faktory_wire::Reply::OK);
    }

    /// A worker sends its command again long after its reservation has ended, also by a crash.
    fn give_back_again(&mut self) {
        let ended = self.numbers.iter().filter(|(jid, _)| !self.reserved.contains(jid));
        let mut ended: Vec<_> = ended.map(|(jid, number)| (jid.clone(), *number)).collect();
        ended.sort_unstable();
        if !ended.is_empty() {
            let (jid, number) = ended.swap_remove(self.random.usize(..ended.len()));
            let is_later = self.random.bool();
            self.say_requeue(&jid, number, is_later);
        }
    }

    /// A client fetches a job, is cut off, had got the job all the same, and gives it back.
    fn give_back_what_was_returned(&mut self) {
        self.world.send(B, "FETCH default");
        let job = World::job(&self.world.replies[0].1);
        let reservations = self.world.take_reservations();
        let returned: Vec<_> = reservations.into_iter().map(|job| job.perhaps_arrived()).collect();
        self.world.disconnect(B, &returned);
        self.world.connect(B, None);
        let is_later = self.random.bool();
        self.say_requeue(&job.jid, job.reservation.unwrap(), is_later);
        if is_later {
            self.waiting.retain(|other| *other != job.jid);
            self.scheduled.push(job.jid);
        }
        self.unsynced.clear();
    }

    /// A client fetches some jobs and is gone before the replies arrive.
    fn lose_a_connection(&mut self) {
        for _ in 0..self.random.usize(1..=self.waiting.len().min(5)) {
            let one_or_more = ["FETCH default", r#"WF FETCH {"n":3,"queues":["default"]}"#];
            self.world.send(B, one_or_more[self.random.usize(..2)]);
        }
        let reservations = self.world.take_reservations();
        self.world.disconnect(B, &reservations);
        self.world.connect(B, None);
        self.unsynced.clear();
    }

    fn fail(&mut self) {
        let jid = self.reserved.swap_remove(self.random.usize(..self.reserved.len()));
        self.world.ask(&format!(r#"FAIL {{"jid":"{jid}"}}"#));
        // This time is longer than the wait of a job that failed a few times, and all steps
        // together are shorter than a reservation.
        self.world.advance_time(seconds(1500));
        self.waiting.push(jid);
        self.finished += 1;
        self.unsynced.clear();
    }

    fn schedule(&mut self, step: u32) {
        let jid = format!("job-{}-{step:06}-later", self.seed);
        self.world.push(&jid, r#","reserve_for":86400,"at":"2100-01-01T00:00:00Z""#);
        self.scheduled.push(jid);
        self.unsynced.clear();
    }

    fn requeue(&mut self) {
        let jid = self.scheduled.swap_remove(self.random.usize(..self.scheduled.len()));
        let filter = format!(r#"{{"jids":["{jid}"]}}"#);
        self.world
            .ask(&format!(r#"MUTATE {{"cmd":"requeue","target":"scheduled","filter":{filter}}}"#));
        self.waiting.push(jid);
        self.unsynced.clear();
    }

    /// A PUSHB that is carried out in slices, at times with a crash in between, which leaves its
    /// first jobs.
    fn push_many(&mut self, step: u32) {
        let jids: Vec<_> = (0..self.random.usize(1001..1500))
            .map(|n| format!("job-{}-{step:06}-{n}", self.seed))
            .collect();
        let job = |jid: &String| {
            format!(r#"{{"jid":"{jid}","jobtype":"t","args":[],"reserve_for":86400}}"#)
        };
        let line = format!("PUSHB [{}]", jids.iter().map(job).collect::<Vec<_>>().join(","));
        if self.random.bool() {
            assert_eq!(self.world.ask(&line), faktory_wire::Reply::Bulk("{}".into()));
            self.waiting.extend(jids);
            self.unsynced.clear();
            return;
        }
        self.world.send(A, &line);
        for _ in 0..self.random.usize(0..4) {
            self.world.slice(0);
        }
        self.unsynced.clear();
        self.crash();
        let stored = self.world.info().faktory.total_enqueued as usize - self.waiting.len();
        assert!(stored < jids.len(), "seed {}: {stored}", self.seed);
        self.waiting.extend(jids.into_iter().take(stored));
    }

    /// Two mutations at once: one moves all jobs by a pattern, the other finds none.
    fn requeue_all(&mut self) {
        let filter = r#"{"regexp":"*job-*"}"#;
        self.world
            .send(B, r#"MUTATE {"cmd":"kill","target":"scheduled","filter":{"regexp":"*none*"}}"#);
        self.world.send(
            A,
            &format!(r#"MUTATE {{"cmd":"requeue","target":"scheduled","filter":{filter}}}"#),
        );
        while self.world.slice(0) {}
        self.world.replies.clear();
        self.waiting.append(&mut self.scheduled);
        self.unsynced.clear();
    }

    fn pause_and_resume_all(&mut self) {
        for command in ["QUEUE PAUSE *", "QUEUE RESUME *"] {
            assert_eq!(self.world.ask(command), faktory_wire::Reply::OK);
        }
        // Where there is no queue, nothing is written.
        if self.world.info().faktory.total_queues > 0 {
            self.unsynced.clear();
        }
    }

    fn crash(&mut self) {
        self.world.reopen();
        self.reserved.retain(|jid| !self.unsynced.contains(jid));
        self.waiting.append(&mut self.unsynced);
    }

    fn remove_the_queue(&mut self) {
        self.world.ask("QUEUE REMOVE default");
        self.world.advance_time(seconds(0));
        self.waiting.clear();
        self.unsynced.clear();
    }

    /// INFO and the tables of the store must agree with the account.
    fn check(&mut self, context: &str) {
        let info = self.world.info().faktory;
        let account = (
            self.waiting.len() as u64,
            self.reserved.len() as u64,
            self.scheduled.len() as u64,
            self.finished,
        );
        assert_eq!(
            (info.total_enqueued, info.sets.working, info.sets.scheduled, info.total_processed),
            account,
            "{context}"
        );
        check_tables(&self.world, context);
    }
}

#[test]
fn no_job_is_lost_or_doubled_whatever_happens() {
    for seed in 0..25 {
        let mut account = Account::new(seed);
        for step in 0..300 {
            account.step(step);
            account.check(&format!("seed {seed} step {step}"));
        }
    }
}
