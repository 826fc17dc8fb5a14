//! A way to the work server that takes its time and cuts connections, or keeps from the worker what
//! the work server can do beyond Faktory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The time for which a short way holds what it read, and a long one: a round trip of 100 ms.
const DELAY: Duration = Duration::from_millis(2);
const LONG_DELAY: Duration = Duration::from_millis(50);
/// A connection is cut after at most one of these numbers of bytes that the worker sends, or after
/// a tenth of one that it gets: in its first lines, within some, or far behind all that are left
/// over.
const CUT_AFTER: [u64; 3] = [400, 4_000, 60_000];

/// What the way takes away.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cuts {
    /// Connections without FETCHes, at random. A FETCH that is cut leaves its job reserved, because
    /// the way has acknowledged the reply in the worker's place.
    OfReports { seed: u64 },
    /// The member `wf` of the greeting.
    OfTheAbilities,
    /// Nothing.
    None,
}

/// The way. It ends when this value is dropped.
pub(crate) struct Way {
    address: SocketAddr,
    cut: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Way {
    pub(crate) async fn to(target: SocketAddr, cuts: Cuts) -> Self {
        Self::with(target, cuts, DELAY).await
    }

    /// A way with a round trip of 100 ms.
    pub(crate) async fn long(target: SocketAddr, cuts: Cuts) -> Self {
        Self::with(target, cuts, LONG_DELAY).await
    }

    async fn with(target: SocketAddr, cuts: Cuts, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&cut);
        let task = tokio::spawn(async move {
            let mut random = match cuts {
                Cuts::OfReports { seed } => Some(fastrand::Rng::with_seed(seed)),
                Cuts::OfTheAbilities | Cuts::None => None,
            };
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(target).await.unwrap();
                let mut left = |part: u64| {
                    let Some(random) = &mut random else { return u64::MAX };
                    let most = CUT_AFTER[random.usize(..CUT_AFTER.len())] / part;
                    random.u64(1..most)
                };
                let room = [left(1), left(10)];
                connections.spawn(carry(near, far, (room, cuts, delay), Arc::clone(&counter)));
            }
        });
        Self { address, cut, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connections that were cut.
    pub(crate) fn cut(&self) -> usize {
        self.cut.load(Ordering::SeqCst)
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries a connection until it ends, or one direction has carried as many bytes as there is room
/// for.
async fn carry(
    near: TcpStream,
    far: TcpStream,
    ([there, back], cuts, delay): ([u64; 2], Cuts, Duration),
    cut: Arc<AtomicUsize>,
) {
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let room = [AtomicU64::new(there), AtomicU64::new(back)];
    let is_over = tokio::select! {
        is_over = copy(near_in, far_out, &room, 0, (None, delay)) => is_over,
        is_over = copy(far_in, near_out, &room, 1, (Some(cuts), delay)) => is_over,
    };
    cut.fetch_add(usize::from(is_over), Ordering::SeqCst);
}

/// True where the room is used up.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    room: &[AtomicU64; 2],
    direction: usize,
    (greeting, delay): (Option<Cuts>, Duration),
) -> bool {
    let mut buffer = vec![0; 64 << 10];
    let mut is_first = greeting.is_some_and(|cuts| matches!(cuts, Cuts::OfTheAbilities));
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return false };
        tokio::time::sleep(delay).await;
        let mut bytes = &buffer[..count];
        if std::mem::take(&mut is_first) {
            bytes = b"+HI {\"v\":2}\r\n";
        }
        let is_fetch = bytes.starts_with(b"FETCH") || bytes.starts_with(b"WF FETCH");
        if direction == 0 && is_fetch {
            room.iter().for_each(|room| room.store(u64::MAX, Ordering::SeqCst));
        }
        let left = room[direction].load(Ordering::SeqCst);
        let carried = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if to.write_all(&bytes[..carried]).await.is_err() {
            return false;
        }
        if carried < bytes.len() {
            return true;
        }
        if left < u64::MAX {
            room[direction].store(left - carried as u64, Ordering::SeqCst);
        }
    }
}
