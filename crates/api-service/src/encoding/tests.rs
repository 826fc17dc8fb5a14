use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{FutureExt, StreamExt, stream};

use super::apart::Apart;
use super::fault::{BARREN_BYTES, FREE_BYTES};
use super::*;
use crate::budget::Budget;

/// More than any body here.
const BUDGET: usize = 64 << 20;
const LIMIT: usize = 16 << 20;
/// RFC 8878, 3.1.2: a frame that decoders skip, here with 0 bytes.
const SKIPPED: [u8; 8] = [0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 3).unwrap()
}

/// All that a body decodes to, or the first error.
async fn decoded(encoding: Encoding, body: Vec<u8>, at_most: usize) -> Result<Vec<u8>, io::Error> {
    let body = stream::iter([Ok(Bytes::from(body))]);
    let memory = Memory::for_body(Budget::new(BUDGET));
    let mut stream = encoding.decode(body, at_most, memory, &Handle::current());
    let mut all = Vec::new();
    while let Some(bytes) = stream.next().await {
        all.extend_from_slice(&bytes?);
    }
    Ok(all)
}

async fn fault(encoding: Encoding, body: Vec<u8>) -> Option<Fault> {
    Fault::behind(&decoded(encoding, body, LIMIT).await.unwrap_err())
}

#[tokio::test]
async fn members_and_frames_one_behind_the_other_are_one_body() {
    let text: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let encoders = [(Encoding::Gzip, gzip as fn(&[u8]) -> Vec<u8>), (Encoding::Zstd, zstd)];
    for (encoding, encode) in encoders {
        for size in [text.len(), 70_000, 1000] {
            let body: Vec<u8> = text.chunks(size).flat_map(encode).collect();
            assert_eq!(decoded(encoding, body, LIMIT).await.unwrap(), text, "{encoding:?} {size}");
        }
        let empty = [encode(b""), encode(b"a"), encode(b""), encode(b"b")].concat();
        assert_eq!(decoded(encoding, empty, LIMIT).await.unwrap(), b"ab");
        let mut cut = [encode(&text), encode(&text)].concat();
        cut.truncate(cut.len() - 5);
        assert!(decoded(encoding, cut, LIMIT).await.is_err(), "{encoding:?}");
        let noise = decoded(encoding, vec![b'a'; 30 << 20], LIMIT).await.unwrap_err();
        assert_eq!(Fault::behind(&noise), None, "{noise}");
        let behind = [encode(b"a"), b"not encoded".to_vec()].concat();
        assert!(decoded(encoding, behind, LIMIT).await.is_err(), "{encoding:?}");
    }
    let skipped = [&SKIPPED, zstd(b"a").as_slice(), &SKIPPED].concat();
    assert_eq!(decoded(Encoding::Zstd, skipped, LIMIT).await.unwrap(), b"a");
}

#[tokio::test]
async fn so_many_bytes_may_hold_nothing_and_one_member_or_frame_more_may_not() {
    for (encoding, piece) in [
        (Encoding::Gzip, gzip(b"")),
        (Encoding::Zstd, zstd(b"")),
        (Encoding::Zstd, SKIPPED.to_vec()),
    ] {
        let most = FREE_BYTES / piece.len();
        assert_eq!(decoded(encoding, piece.repeat(most), LIMIT).await.unwrap(), b"");
        let more = piece.repeat(most + 1);
        assert_eq!(fault(encoding, more).await, Some(Fault::HoldsLittle), "{encoding:?}");
    }
    // Small jobs, each in a member or frame of its own.
    let job = br#"{"operation":"add","a":1,"b":2}"#;
    for (encoding, piece) in [(Encoding::Gzip, gzip(job)), (Encoding::Zstd, zstd(job))] {
        let body = piece.repeat(20_000);
        assert!(body.len() > 2 * FREE_BYTES);
        assert_eq!(decoded(encoding, body, LIMIT).await.unwrap().len(), 20_000 * job.len());
    }
    // Noise, which no encoding makes shorter.
    let noise: Vec<u8> = (0..1 << 20).map(|_| fastrand::u8(..)).collect();
    for (encoding, body) in [(Encoding::Gzip, gzip(&noise)), (Encoding::Zstd, zstd(&noise))] {
        assert_eq!(decoded(encoding, body, LIMIT).await.unwrap(), noise);
    }
}

#[tokio::test]
async fn an_encoded_body_is_bounded_too() {
    let body = gzip(b"a");
    let length = body.len();
    assert_eq!(decoded(Encoding::Gzip, body.clone(), length).await.unwrap(), b"a");
    let error = decoded(Encoding::Gzip, body, length - 1).await.unwrap_err();
    assert_eq!(Fault::behind(&error), Some(Fault::TooLarge));
}

#[tokio::test]
async fn a_long_piece_that_holds_nothing_is_refused() {
    // A frame that is skipped and has 2 MiB.
    let mut skipped = SKIPPED.to_vec();
    skipped[4..].copy_from_slice(&(2_u32 << 20).to_le_bytes());
    skipped.resize((2 << 20) + 8, 0);
    // RFC 1952: a name in the header that does not end.
    let mut name = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
    name.resize(BARREN_BYTES + 100, b'a');
    // RFC 1951: stored blocks of no bytes.
    let mut blocks = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    blocks.extend([0, 0, 0, 0xff, 0xff].repeat(BARREN_BYTES / 4));
    let much = vec![b'a'; 4 << 20];
    for (encoding, barren, full) in [
        (Encoding::Zstd, skipped, zstd(&much)),
        (Encoding::Gzip, name, gzip(&much)),
        (Encoding::Gzip, blocks, gzip(&much)),
    ] {
        assert_eq!(fault(encoding, barren.clone()).await, Some(Fault::HoldsLittle));
        let behind = [full, barren].concat();
        assert_eq!(fault(encoding, behind).await, Some(Fault::Barren));
    }
}

/// The turns that another task of the same thread has while a body that is there at once is
/// decoded.
async fn turns_beside(encoding: Encoding, body: Vec<u8>) -> usize {
    let turns = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&turns);
    let other = tokio::spawn(async move {
        loop {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    let _ = decoded(encoding, body, LIMIT).await;
    other.abort();
    turns.load(Ordering::Relaxed)
}

#[tokio::test]
async fn other_tasks_have_turns_while_a_body_is_decoded() {
    // 20,000 bytes of members that hold nothing are five slices.
    assert!(turns_beside(Encoding::Gzip, gzip(b"").repeat(1000)).await >= 4);
    assert!(turns_beside(Encoding::Zstd, SKIPPED.repeat(1000)).await >= 1);
    // 4 MiB of output are 128 chunks, however small the input is.
    let zeros = vec![0; 4 << 20];
    assert!(turns_beside(Encoding::Gzip, gzip(&zeros)).await >= 127);
    assert!(turns_beside(Encoding::Zstd, zstd(&zeros)).await >= 30);
}

#[tokio::test]
async fn a_body_is_decoded_on_the_threads_for_it_and_what_a_fault_leaves_of_it_stays_here() {
    let threads = crate::slow_threads::SlowThreads::start();
    let name = || std::thread::current().name().unwrap_or_default().to_owned();
    let mut pieces =
        stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(b"piece"))).take(100);
    let memory = Memory::for_body(Budget::new(BUDGET));
    let mut apart = Apart::new(&mut pieces, memory, &threads.handle(), |fed| {
        fed.take(3).map(move |piece| piece.map(|_| Bytes::from(name())))
    });
    for _ in 0..3 {
        assert_eq!(apart.next().await.unwrap().unwrap(), "large-bodies");
    }
    assert!(apart.next().await.is_none());
    drop(apart);
    assert!((93..=97).contains(&pieces.count().await), "few are on their way");
}

#[tokio::test]
async fn a_decoder_that_breaks_off_is_a_failure_and_not_the_end_of_the_body() {
    for pieces in [0, 1, 3] {
        let body = stream::repeat_with(|| Ok(Bytes::from_static(b"piece"))).take(5);
        let memory = Memory::for_body(Budget::new(BUDGET));
        let mut apart = Apart::new(body, memory, &Handle::current(), |fed| {
            fed.take(pieces).chain(stream::poll_fn(|_| panic!("a fault of the decoder")))
        });
        for _ in 0..pieces {
            assert_eq!(apart.next().await.unwrap().unwrap(), "piece");
        }
        let error = apart.next().await.expect("no orderly end").unwrap_err();
        assert_eq!(Failure::behind(&error), Some(Failure::BrokeOff), "{pieces}");
        assert!(apart.next().await.is_none());
    }
}

#[tokio::test]
async fn what_is_on_its_way_through_a_decoder_has_its_share_of_the_memory() {
    const PIECE: usize = 100 << 10;
    let budget = Budget::new(10 * PIECE);
    let is_free = |pieces: usize| budget.try_share(pieces * PIECE).is_some();
    let body = || stream::repeat_with(|| Ok(Bytes::from(vec![b'a'; PIECE]))).take(5);
    let memory = || Memory::for_body(budget.clone());
    // Each piece passes as it is.
    let mut apart = Apart::new(body(), memory(), &Handle::current(), |fed| fed);
    for _ in 0..5 {
        assert!(apart.next().now_or_never().is_none());
        assert!(!is_free(10), "it waits to be decoded");
        tokio::task::yield_now().await;
        assert!(!is_free(10), "it waits to be taken");
        assert_eq!(apart.next().await.unwrap().unwrap().len(), PIECE);
    }
    assert!(apart.next().await.is_none());
    assert!(is_free(10), "all came back");
    // The first piece is being decoded for ever, and the second waits behind it.
    let mut apart = Apart::new(body(), memory(), &Handle::current(), |fed| {
        fed.then(|_| std::future::pending())
    });
    assert!(apart.next().now_or_never().is_none());
    tokio::task::yield_now().await;
    assert!(apart.next().now_or_never().is_none());
    assert!(is_free(8) && !is_free(9));
}

#[tokio::test(start_paused = true)]
async fn a_body_without_memory_on_its_way_is_refused_and_a_stream_waits_a_second() {
    let budget = Budget::new(100 << 10);
    let held = budget.try_share(100 << 10).unwrap();
    let body = || stream::iter([Ok(Bytes::from(gzip(b"text")))]);
    let memory = Memory::for_body(budget.clone());
    let mut refused = Encoding::Gzip.decode(body(), LIMIT, memory, &Handle::current());
    let error = refused.next().await.unwrap().unwrap_err();
    assert_eq!(Failure::behind(&error), Some(Failure::NoMemory));
    let memory = Memory::for_stream(budget.clone());
    let mut waiting = Encoding::Gzip.decode(body(), LIMIT, memory, &Handle::current());
    let a_moment = std::time::Duration::from_millis(500);
    assert!(tokio::time::timeout(a_moment, waiting.next()).await.is_err());
    drop(held);
    assert_eq!(waiting.next().await.unwrap().unwrap(), "text");
    assert!(waiting.next().await.is_none());
    // What holds the memory may be lines that wait for these very pieces.
    let _held = budget.try_share(100 << 10).unwrap();
    let memory = Memory::for_stream(budget);
    let mut waiting = Encoding::Gzip.decode(body(), LIMIT, memory, &Handle::current());
    assert_eq!(waiting.next().await.unwrap().unwrap(), "text");
}

/// The beginning of a body with a window of 8 MiB, which a client then leaves as it is.
fn with_large_window() -> Vec<u8> {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(23).unwrap();
    encoder.write_all(b"text").unwrap();
    encoder.flush().unwrap();
    encoder.get_ref().clone()
}

#[tokio::test(start_paused = true)]
async fn the_window_of_a_zstd_body_has_its_share_of_the_memory_for_as_long_as_it_is_decoded() {
    const KEPT: usize = (8 << 20) + (128 << 10);
    const MIB: usize = 1 << 20;
    let budget = Budget::new(4 * KEPT + MIB);
    let memory = Memory::for_body(budget.clone());
    let begin = |memory: Memory| {
        let body = stream::iter([Ok(Bytes::from(with_large_window()))]).chain(stream::pending());
        Encoding::Zstd.decode(body, LIMIT, memory, &Handle::current())
    };
    let mut first = begin(memory.clone());
    assert_eq!(first.next().await.unwrap().unwrap(), "text");
    assert!(budget.try_share(3 * KEPT + MIB).is_some());
    assert!(budget.try_share(3 * KEPT + MIB + 1024).is_none());
    let mut second = begin(memory.clone());
    assert_eq!(second.next().await.unwrap().unwrap(), "text");
    // Two of them have half of the memory, and a body without a window goes on.
    for memory in [memory.clone(), Memory::for_stream(budget.clone())] {
        let refused = begin(memory).next().await.unwrap().unwrap_err();
        assert_eq!(Failure::behind(&refused), Some(Failure::NoMemory));
    }
    assert!(budget.try_share(2 * KEPT + MIB).is_some());
    drop(first);
    tokio::task::yield_now().await;
    assert_eq!(begin(memory).next().await.unwrap().unwrap(), "text");
}

#[tokio::test]
async fn a_decoder_waits_for_memory_on_the_threads_for_it_and_is_refused_there() {
    let threads = crate::slow_threads::SlowThreads::start();
    // Enough for what comes, and not for what is decoded of it.
    let memory = Memory::for_body(Budget::new(10 << 10));
    let body = stream::iter([Ok(Bytes::from(gzip(&vec![0; 1 << 20])))]);
    let mut refused = Encoding::Gzip.decode(body, LIMIT, memory, &threads.handle());
    let error = refused.next().await.unwrap().unwrap_err();
    assert_eq!(Failure::behind(&error), Some(Failure::NoMemory));
}
