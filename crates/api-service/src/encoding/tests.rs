use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::fault::{BARREN_BYTES, BYTES_A_PART, FREE_PARTS};
use super::*;

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
    let mut stream = encoding.decode(Body::from(body), at_most);
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
async fn so_many_members_or_frames_may_hold_nothing_and_one_more_may_not() {
    for (encoding, piece) in [
        (Encoding::Gzip, gzip(b"")),
        (Encoding::Zstd, zstd(b"")),
        (Encoding::Zstd, SKIPPED.to_vec()),
    ] {
        assert_eq!(decoded(encoding, piece.repeat(FREE_PARTS), LIMIT).await.unwrap(), b"");
        let more = piece.repeat(FREE_PARTS + 1);
        assert_eq!(fault(encoding, more).await, Some(Fault::TooManyParts), "{encoding:?}");
    }
    let small = gzip(&[b'a'; BYTES_A_PART]);
    let body = small.repeat(3 * FREE_PARTS);
    assert_eq!(decoded(Encoding::Gzip, body, LIMIT).await.unwrap().len(), 192_000);
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
    assert_eq!(fault(Encoding::Zstd, skipped).await, Some(Fault::Barren));
    // RFC 1952: a name in the header that does not end.
    let mut name = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
    name.resize(BARREN_BYTES + 100, b'a');
    assert_eq!(fault(Encoding::Gzip, name).await, Some(Fault::Barren));
    // RFC 1951: stored blocks of no bytes.
    let mut blocks = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    blocks.extend([0, 0, 0, 0xff, 0xff].repeat(BARREN_BYTES / 4));
    assert_eq!(fault(Encoding::Gzip, blocks).await, Some(Fault::Barren));
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
