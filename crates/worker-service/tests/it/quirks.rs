//! The worker and the quirks of Faktory and of networks, which our broker does not have: no hang,
//! no job run in place of another, no ack lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testkit::{Quirky, Session, eventually};
use tokio::sync::mpsc;
use worker_service::{Job, Worker, WorkerConfig};

/// What the scripted server heard: the number of the connection and the line.
type Heard = mpsc::UnboundedReceiver<(usize, String)>;

/// A server that gives `jobs` out to the first FETCHes, and answers everything else well. `beat`
/// answers heartbeats.
async fn server(jobs: Vec<&'static str>, beat: &'static str) -> (Quirky, Heard) {
    let (told, heard) = mpsc::unbounded_channel();
    let next = Arc::new(AtomicUsize::new(0));
    let jobs = Arc::new(jobs);
    let quirky = Quirky::start(move |number, mut session: Session| {
        let (told, next, jobs) = (told.clone(), Arc::clone(&next), Arc::clone(&jobs));
        async move {
            let Some(hello) = session.welcome().await else { return };
            let _ = told.send((number, hello));
            while let Some(line) = session.line().await {
                let _ = told.send((number, line.clone()));
                if line.starts_with("FETCH") {
                    match jobs.get(next.fetch_add(1, Ordering::SeqCst)) {
                        Some(job) => session.send_bulk_in_pieces(job).await,
                        None => {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                            session.send("$-1\r\n").await;
                        }
                    }
                } else if line.starts_with("BEAT") {
                    session.send(beat).await;
                } else if line == "END" {
                    return;
                } else {
                    session.send("+OK\r\n").await;
                }
            }
        }
    })
    .await;
    (quirky, heard)
}

async fn hear(heard: &mut Heard, what: &str) -> (usize, String) {
    let wait = async {
        loop {
            let (number, line) = heard.recv().await.unwrap();
            if line.starts_with(what) {
                return (number, line);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("never heard {what}"))
}

fn config(server: &Quirky) -> WorkerConfig {
    let config = WorkerConfig::new(server.link()).with(|worker| worker.concurrency = 2);
    WorkerConfig { heartbeat: Duration::from_millis(200), ..config }
}

#[tokio::test]
async fn a_job_without_reserve_for_in_three_writes_is_run_and_acknowledged_on_another_connection() {
    let job = r#"{"retry":25,"jid":"job-00000001","queue":"default","jobtype":"t","args":[1]}"#;
    let (server, mut heard) = server(vec![job], "+OK\r\n").await;
    let worker =
        Worker::builder(config(&server)).register_fn("t", |_: Job| async {}).start().unwrap();
    let (fetched_on, _) = hear(&mut heard, "FETCH").await;
    let (acked_on, line) = hear(&mut heard, "ACK").await;
    assert_eq!(line, r#"ACK {"jid":"job-00000001"}"#);
    assert_ne!(fetched_on, acked_on);
    worker.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn an_ack_whose_answer_never_came_is_sent_again_on_a_new_connection() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let acks = Arc::new(AtomicUsize::new(0));
    let fetches = Arc::new(AtomicUsize::new(0));
    let server = Quirky::start(move |_, mut session| {
        let (told, acks, fetches) = (told.clone(), Arc::clone(&acks), Arc::clone(&fetches));
        async move {
            session.welcome().await;
            while let Some(line) = session.line().await {
                if line.starts_with("ACK") {
                    let _ = told.send(line);
                    if acks.fetch_add(1, Ordering::SeqCst) == 0 {
                        return session.reset();
                    }
                    session.send("+OK\r\n").await;
                } else if line.starts_with("FETCH") && fetches.fetch_add(1, Ordering::SeqCst) == 0 {
                    let job = r#"{"jid":"job-00000001","jobtype":"t","args":[],"retry":1}"#;
                    session.send(&format!("${}\r\n{job}\r\n", job.len())).await;
                } else if line.starts_with("FETCH") {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    session.send("$-1\r\n").await;
                } else {
                    session.send("+OK\r\n").await;
                }
            }
        }
    })
    .await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&runs);
    let worker = Worker::builder(config(&server))
        .register_fn("t", move |_: Job| {
            counter.fetch_add(1, Ordering::SeqCst);
            async {}
        })
        .start()
        .unwrap();
    for _ in 0..2 {
        let line =
            tokio::time::timeout(Duration::from_secs(20), heard.recv()).await.unwrap().unwrap();
        assert_eq!(line, r#"ACK {"jid":"job-00000001"}"#);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1, "the job itself is not run again");
    worker.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn quiet_is_obeyed_by_every_lane_although_faktory_enforces_it_on_one() {
    let (server, mut heard) = server(vec![], "$17\r\n{\"state\":\"quiet\"}\r\n").await;
    let worker =
        Worker::builder(config(&server)).register_fn("t", |_: Job| async {}).start().unwrap();
    hear(&mut heard, "BEAT").await;
    hear(&mut heard, "BEAT").await;
    // From the second beat on the worker knows; FETCHes that were out are heard, then only beats.
    hear(&mut heard, "BEAT").await;
    let mut fetches = 0;
    for _ in 0..5 {
        let (_, line) = heard.recv().await.unwrap();
        fetches += usize::from(line.starts_with("FETCH"));
    }
    assert_eq!(fetches, 0);
    worker.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn terminate_ends_the_worker() {
    let (server, _heard) = server(vec![], "$21\r\n{\"state\":\"terminate\"}\r\n").await;
    let mut worker =
        Worker::builder(config(&server)).register_fn("t", |_: Job| async {}).start().unwrap();
    tokio::time::timeout(Duration::from_secs(20), worker.told_to_terminate()).await.unwrap();
    worker.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_forgotten_worker_comes_back_under_a_new_id() {
    let (server, mut heard) = server(vec![], "-ERR unknown worker x\r\n").await;
    let worker =
        Worker::builder(config(&server)).register_fn("t", |_: Job| async {}).start().unwrap();
    let wid =
        |line: &str| line.split("\"wid\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let (_, first) = hear(&mut heard, "HELLO").await;
    hear(&mut heard, "BEAT").await;
    let first = wid(&first);
    let fresh = eventually("a new id", Duration::from_secs(20), || {
        let next = heard
            .try_recv()
            .ok()
            .filter(|(_, line)| line.starts_with("HELLO"))
            .map(|(_, line)| wid(&line));
        async move { next }
    });
    let mut second = fresh.await;
    while second == first {
        second = wid(&hear(&mut heard, "HELLO").await.1);
    }
    assert_ne!(first, second);
    worker.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn errors_and_nonsense_to_a_fetch_do_not_stop_the_worker() {
    let server = Quirky::start(|number, mut session| async move {
        session.welcome().await;
        let mut fetches = 0;
        while let Some(line) = session.line().await {
            if !line.starts_with("FETCH") {
                session.send("+OK\r\n").await;
                continue;
            }
            fetches += 1;
            match (number, fetches) {
                (_, 1) => {
                    session
                        .send(
                            "-ERR dial unix /x/redis.sock: connect: resource temporarily \
                             unavailable\r\n",
                        )
                        .await
                }
                (0..=4, 2) => session.send("$5\r\nhello\r\n").await,
                (0..=4, 3) => session.send("what is this\r\n").await,
                (5, 2) => {
                    let job = r#"{"jid":"job-at-last-1","jobtype":"t","args":[],"retry":1}"#;
                    session.send(&format!("${}\r\n{job}\r\n", job.len())).await;
                }
                _ => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    session.send("$-1\r\n").await;
                }
            }
        }
    })
    .await;
    let (told, mut ran) = mpsc::unbounded_channel();
    let worker = Worker::builder(config(&server))
        .register_fn("t", move |job: Job| {
            let _ = told.send(job.jid);
            async {}
        })
        .start()
        .unwrap();
    let jid = tokio::time::timeout(Duration::from_secs(30), ran.recv()).await.unwrap().unwrap();
    assert_eq!(jid, "job-at-last-1");
    worker.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn an_error_and_a_job_in_one_write_are_told_apart_and_the_lane_goes_on() {
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        let mut fetches = 0;
        while let Some(line) = session.line().await {
            if !line.starts_with("FETCH") {
                session.send("+OK\r\n").await;
                continue;
            }
            fetches += 1;
            let job = format!(r#"{{"jid":"job-{fetches:08}","jobtype":"t","args":[],"retry":1}}"#);
            let job = format!("${}\r\n{job}\r\n", job.len());
            match fetches {
                // Jobs that take no time make it fetch ahead: two FETCHes are out on the only lane.
                1..=30 | 33..=40 => session.send(&job).await,
                31 => {}
                32 => {
                    session
                        .send(&format!(
                            "-ERR cannot add element in the working set: context deadline \
                             exceeded\r\n{job}"
                        ))
                        .await
                }
                _ => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    session.send("$-1\r\n").await;
                }
            }
        }
    })
    .await;
    let (told, mut ran) = mpsc::unbounded_channel();
    let link = faktory_link::LinkConfig { max_connections: 2, ..server.link() };
    let worker = Worker::builder(WorkerConfig::new(link).with(|worker| worker.concurrency = 1))
        .register_fn("t", move |job: Job| {
            let _ = told.send(job.jid);
            async {}
        })
        .start()
        .unwrap();
    for number in (1..=30).chain(32..=40) {
        let jid = tokio::time::timeout(Duration::from_secs(30), ran.recv()).await.unwrap().unwrap();
        assert_eq!(jid, format!("job-{number:08}"));
    }
    worker.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_silent_work_server_is_left_and_found_again() {
    let server = Quirky::start(|number, mut session| async move {
        session.welcome().await;
        if number < 3 {
            return session.silence().await;
        }
        let mut given = false;
        while let Some(line) = session.line().await {
            if line.starts_with("FETCH") && !given {
                given = true;
                let job = format!(
                    r#"{{"jid":"job-after-silence-{number}","jobtype":"t","args":[],"retry":1}}"#
                );
                session.send(&format!("${}\r\n{job}\r\n", job.len())).await;
            } else if line.starts_with("FETCH") {
                tokio::time::sleep(Duration::from_millis(50)).await;
                session.send("$-1\r\n").await;
            } else {
                session.send("+OK\r\n").await;
            }
        }
    })
    .await;
    let (told, mut ran) = mpsc::unbounded_channel();
    let mut config = config(&server);
    config.link.read_timeout = Duration::from_millis(300);
    let worker = Worker::builder(config)
        .register_fn("t", move |job: Job| {
            let _ = told.send(job.jid);
            async {}
        })
        .start()
        .unwrap();
    assert!(
        tokio::time::timeout(Duration::from_secs(30), ran.recv())
            .await
            .unwrap()
            .unwrap()
            .starts_with("job-after-silence")
    );
    worker.stop(Duration::from_secs(5)).await;
}

#[test]
fn a_handler_that_blocks_its_thread_holds_up_neither_heartbeats_nor_acks() {
    // The server has a runtime of its own; the worker's has a single thread, which the handler
    // blocks.
    let servers = tokio::runtime::Runtime::new().unwrap();
    let jobs = vec![
        r#"{"jid":"job-00000001","jobtype":"quick","args":[]}"#,
        r#"{"jid":"job-00000002","jobtype":"blocks","args":[]}"#,
    ];
    let (server, heard) = servers.block_on(server(jobs, "+OK\r\n"));
    let heard = Arc::new(std::sync::Mutex::new(heard));
    let (beats, listening) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&heard));
    let (counter, blocked) = (Arc::clone(&beats), Arc::new(AtomicUsize::new(0)));
    let handler_blocked = Arc::clone(&blocked);
    let config = config(&server);
    let workers = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    workers.block_on(async {
        let worker = Worker::builder(config)
            .register_fn("quick", |_: Job| async {})
            .register_fn("blocks", move |_: Job| {
                // Blocks until three heartbeats have arrived, or for 10 s.
                for _ in 0..200 {
                    while let Ok((_, line)) = listening.lock().unwrap().try_recv() {
                        counter.fetch_add(usize::from(line.starts_with("BEAT")), Ordering::SeqCst);
                    }
                    if counter.load(Ordering::SeqCst) >= 3 {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                handler_blocked.store(1, Ordering::SeqCst);
                async {}
            })
            .start()
            .unwrap();
        eventually("the handler has blocked and gone on", Duration::from_secs(30), || async {
            (blocked.load(Ordering::SeqCst) == 1).then_some(())
        })
        .await;
        worker.stop(Duration::from_secs(5)).await;
    });
    assert!(beats.load(Ordering::SeqCst) >= 3);
}
