//! A runtime whose only thread is held up past the deadline, while another thread writes into the
//! socket: to the runtime this is what a stopped process is.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread::JoinHandle;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::*;

const LIMIT: Duration = Duration::from_millis(50);

/// A peer that writes one byte when it is told to, and says when it has.
struct Peer {
    address: SocketAddr,
    write: std::sync::mpsc::Sender<()>,
    written: std::sync::mpsc::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Peer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (write, told) = std::sync::mpsc::channel();
        let (tell, written) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while told.recv().is_ok() {
                stream.write_all(b"x").unwrap();
                tell.send(()).unwrap();
            }
        });
        Self { address, write, written, thread }
    }

    /// Holds this thread up until the byte is written and the time is over.
    fn pause(&self) {
        let begun = std::time::Instant::now();
        self.write.send(()).unwrap();
        self.written.recv().unwrap();
        std::thread::sleep((2 * LIMIT).saturating_sub(begun.elapsed()));
    }

    fn end(self) {
        drop(self.write);
        self.thread.join().unwrap();
    }
}

/// Stands still within a turn of the runtime's driver: it has asked the system, and has not looked
/// at its timers. The deadline then fires although nobody knows of the byte.
struct StopInTurn {
    peer: Arc<Mutex<Peer>>,
}

impl Wake for StopInTurn {
    fn wake(self: Arc<Self>) {
        self.peer.lock().unwrap().pause();
    }
}

/// What has to live until the stop: the driver wakes the second for the byte of the first.
type Trigger = (std::net::TcpStream, Pin<Box<dyn Future<Output = ()>>>);

/// Has the driver's next turn stand still.
async fn stop_in_next_turn(peer: &Arc<Mutex<Peer>>) -> Trigger {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut other, _) = listener.accept().unwrap();
    let mut readable: Pin<Box<dyn Future<Output = ()>>> =
        Box::pin(async move { ours.readable().await.unwrap() });
    let waker = Waker::from(Arc::new(StopInTurn { peer: Arc::clone(peer) }));
    assert!(readable.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    other.write_all(b"x").unwrap();
    (other, readable)
}

/// Work that begins before the stop, and goes on after it.
async fn stopped_in_turn<F: Future>(peer: &Arc<Mutex<Peer>>, work: F) -> F::Output {
    let mut work = pin!(work);
    assert!(poll_once(work.as_mut()).await.is_none());
    let _trigger = stop_in_next_turn(peer).await;
    work.await
}

#[tokio::test]
async fn a_deadline_that_fires_before_the_system_is_asked_again_looks_once_more() {
    let peer = Arc::new(Mutex::new(Peer::start()));
    let address = peer.lock().unwrap().address;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        let by_time = timeout_at(Instant::now() + LIMIT, stream.read_u8());
        assert_eq!(stopped_in_turn(&peer, by_time).await.unwrap().unwrap(), b'x', "timeout_at");
        let by_limit = timeout(LIMIT, stream.read_u8());
        assert_eq!(stopped_in_turn(&peer, by_limit).await.unwrap().unwrap(), b'x', "timeout");
        let sleep = LateSleep::until(Instant::now() + LIMIT);
        let first = async {
            tokio::select! {
                biased;
                read = stream.read_u8() => read.unwrap(),
                () = sleep => panic!("the sleep ended first"),
            }
        };
        assert_eq!(stopped_in_turn(&peer, first).await, b'x', "LateSleep");
    }
    drop(stream);
    Arc::into_inner(peer).unwrap().into_inner().unwrap().end();
}

#[tokio::test]
async fn what_arrived_during_a_pause_counts_after_the_deadline() {
    let peer = Peer::start();
    let mut stream = TcpStream::connect(peer.address).await.unwrap();
    for _ in 0..20 {
        let deadline = Instant::now() + LIMIT;
        // The first poll finds nothing, and the second finds the deadline passed.
        let mut work = pin!(timeout_at(deadline, stream.read_u8()));
        assert!(poll_once(work.as_mut()).await.is_none());
        peer.pause();
        assert_eq!(work.await.unwrap().unwrap(), b'x');
    }
    // Where the deadline has passed before the first poll.
    peer.pause();
    assert_eq!(timeout(Duration::ZERO, stream.read_u8()).await.unwrap().unwrap(), b'x');
    peer.end();
}

#[tokio::test]
async fn a_late_sleep_ends_after_what_arrived_was_seen() {
    let peer = Peer::start();
    let mut stream = TcpStream::connect(peer.address).await.unwrap();
    let mut sleep = pin!(LateSleep::until(Instant::now() + LIMIT));
    assert!(poll_once(sleep.as_mut()).await.is_none());
    peer.pause();
    tokio::select! {
        biased;
        read = stream.read_u8() => assert_eq!(read.unwrap(), b'x'),
        () = sleep.as_mut() => panic!("the sleep ended first"),
    }
    sleep.as_mut().reset(Instant::now() + LIMIT);
    sleep.await;
    peer.end();
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up() {
    let begun = Instant::now();
    assert!(timeout(Duration::from_secs(10), std::future::pending::<()>()).await.is_err());
    LateSleep::until(begun + Duration::from_secs(20)).await;
    turns().await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(20) && took < Duration::from_secs(21), "{took:?}");
}

/// Polls once.
async fn poll_once<F: Future>(mut work: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match work.as_mut().poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
