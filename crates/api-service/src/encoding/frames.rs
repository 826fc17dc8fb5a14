//! The frames of a zstd body, told apart as its bytes pass by (RFC 8878, section 3.1.1). Nothing is
//! decoded here: only the memory is found that a decoder will take for each frame.

/// The largest block, and the largest part of a frame that a decoder keeps beyond the window.
const BLOCK_BYTES_MAX: u64 = 128 << 10;
const MAGIC: u32 = 0xFD2F_B528;
/// The magic numbers of frames that are skipped, without their last four bits.
const SKIPPED_MAGIC: u32 = 0x184D_2A50;

/// What the bytes are that come next.
#[derive(Debug, Clone, Copy)]
enum Part {
    Magic,
    /// The size of a frame that is skipped.
    SkippedSize,
    /// The first byte of a header, which says what else the header has.
    Descriptor,
    /// The rest of a header.
    Header {
        descriptor: u8,
    },
    BlockHeader {
        has_checksum: bool,
    },
    /// Bytes that say nothing here, and what comes behind them.
    Rest {
        left: u64,
        then: Next,
    },
    /// What came is no zstd: the decoder will say so.
    Broken,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Frame,
    Block { has_checksum: bool },
}

/// The place in a body up to which its bytes have passed.
#[derive(Debug)]
pub(super) struct Frames {
    part: Part,
    /// The bytes of the part that have come; no such part is longer.
    come: [u8; 16],
    count: usize,
}

impl Frames {
    /// The beginning of a body.
    pub(super) const fn new() -> Self {
        Self { part: Part::Magic, come: [0; 16], count: 0 }
    }

    /// Takes the next bytes; the most bytes that a decoder keeps of a frame that begins in them.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> u64 {
        let mut most = 0;
        while !bytes.is_empty() {
            if let Part::Rest { left, then } = self.part {
                let passed = left.min(bytes.len() as u64);
                bytes = bytes.get(passed as usize..).unwrap_or_default();
                self.part = after(left - passed, then);
                continue;
            }
            let Some(length) = self.length() else { return most };
            if let (Some(slot), [first, rest @ ..]) = (self.come.get_mut(self.count), bytes) {
                *slot = *first;
                bytes = rest;
            }
            self.count += 1;
            if self.count >= length {
                most = self.finish().max(most);
                self.count = 0;
            }
        }
        most
    }

    /// The bytes of the part; `None` where nothing is told apart any more.
    const fn length(&self) -> Option<usize> {
        match self.part {
            Part::Magic | Part::SkippedSize => Some(4),
            Part::Descriptor => Some(1),
            Part::Header { descriptor } => Some(window_bytes(descriptor) + others(descriptor)),
            Part::BlockHeader { .. } => Some(3),
            Part::Rest { .. } | Part::Broken => None,
        }
    }

    /// Goes on to the next part; what a decoder keeps, where the part was a header.
    fn finish(&mut self) -> u64 {
        match self.part {
            Part::Magic => match self.number(0, 4) as u32 {
                MAGIC => self.part = Part::Descriptor,
                other if other & !0xF == SKIPPED_MAGIC => self.part = Part::SkippedSize,
                _ => self.part = Part::Broken,
            },
            Part::SkippedSize => self.part = after(self.number(0, 4), Next::Frame),
            Part::Descriptor => {
                let [descriptor, ..] = self.come;
                self.part = Part::Header { descriptor };
            }
            Part::Header { descriptor } => {
                self.part = Part::BlockHeader { has_checksum: descriptor & 4 != 0 };
                return self.kept(descriptor);
            }
            Part::BlockHeader { has_checksum } => {
                let header = self.number(0, 3);
                // A block of one byte many times has that byte alone.
                let left = if header >> 1 & 3 == 1 { 1 } else { header >> 3 };
                self.part = if header & 1 == 0 {
                    after(left, Next::Block { has_checksum })
                } else {
                    after(left + if has_checksum { 4 } else { 0 }, Next::Frame)
                };
            }
            Part::Rest { .. } | Part::Broken => {}
        }
        0
    }

    /// What a decoder keeps of the frame whose header has come.
    fn kept(&self, descriptor: u8) -> u64 {
        let window_bytes = window_bytes(descriptor);
        let length = content_bytes(descriptor);
        let content = self.number(window_bytes + dictionary_bytes(descriptor), length);
        let content = match length {
            0 => u64::MAX,
            2 => content + 256,
            _ => content,
        };
        let window = if window_bytes == 0 {
            content
        } else {
            let [byte, ..] = self.come;
            let base = 1_u64 << (10 + (byte >> 3));
            base + base / 8 * u64::from(byte & 7)
        };
        window.saturating_add(window.min(BLOCK_BYTES_MAX)).min(content)
    }

    /// A number of the part, with its lowest byte first.
    fn number(&self, at: usize, length: usize) -> u64 {
        let bytes = self.come.get(at..at + length).unwrap_or_default();
        bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// What comes behind so many bytes.
const fn after(left: u64, then: Next) -> Part {
    match (left, then) {
        (1.., _) => Part::Rest { left, then },
        (0, Next::Frame) => Part::Magic,
        (0, Next::Block { has_checksum }) => Part::BlockHeader { has_checksum },
    }
}

const fn is_single_segment(descriptor: u8) -> bool {
    descriptor & 0x20 != 0
}

/// The bytes in the header that tell the window.
const fn window_bytes(descriptor: u8) -> usize {
    if is_single_segment(descriptor) { 0 } else { 1 }
}

const fn dictionary_bytes(descriptor: u8) -> usize {
    match descriptor & 3 {
        0 => 0,
        1 => 1,
        2 => 2,
        _ => 4,
    }
}

/// The bytes in the header that tell the size of the content.
const fn content_bytes(descriptor: u8) -> usize {
    match descriptor >> 6 {
        0 if is_single_segment(descriptor) => 1,
        0 => 0,
        1 => 2,
        2 => 4,
        _ => 8,
    }
}

/// The bytes of a header that do not tell the window.
const fn others(descriptor: u8) -> usize {
    dictionary_bytes(descriptor) + content_bytes(descriptor)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use ::zstd::stream::raw::CParameter;

    use super::*;

    const BLOCK: u64 = BLOCK_BYTES_MAX;

    /// A frame with a window of 2 to this power, which tells no size.
    fn frame(window_log: u32, content: &[u8]) -> Vec<u8> {
        let mut encoder = ::zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.set_parameter(CParameter::WindowLog(window_log)).unwrap();
        encoder.set_parameter(CParameter::ChecksumFlag(true)).unwrap();
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// What is found in a body that comes in pieces of this size, each change once.
    fn found(body: &[u8], piece: usize) -> Vec<u64> {
        let mut frames = Frames::new();
        let found = body.chunks(piece).map(|piece| frames.pass(piece));
        found.filter(|kept| *kept > 0).collect()
    }

    #[test]
    fn the_windows_of_all_frames_are_found_wherever_the_pieces_were_cut() {
        let noise: Vec<u8> = (0..300_000).map(|_| fastrand::u8(..)).collect();
        let skipped = [0x5A, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3].to_vec();
        let told = ::zstd::bulk::compress(&noise, 3).unwrap();
        let small = ::zstd::bulk::compress(b"0123456789", 3).unwrap();
        let zeros = vec![0; 1 << 20];
        let empty = [0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0].to_vec();
        let body = [
            skipped,
            frame(23, &noise),
            told,
            empty,
            frame(10, &zeros),
            small,
            frame(21, &noise),
            frame(23, b"a"),
        ];
        let expected =
            [(8 << 20) + BLOCK, 300_000, 2 << 10, 10, (2 << 20) + BLOCK, (8 << 20) + BLOCK];
        for piece in [1, 2, 3, 7, 11] {
            assert_eq!(found(&body.concat(), piece), expected, "{piece}");
        }
        assert_eq!(Frames::new().pass(&body.concat()), (8 << 20) + BLOCK);
    }

    #[test]
    fn what_is_no_zstd_has_no_windows() {
        assert_eq!(found(&[b'a'; 1000], 10), [0; 0]);
        let behind = [frame(20, b"a"), b"no frame".to_vec(), frame(23, b"a")].concat();
        assert_eq!(found(&behind, 1), [(1 << 20) + BLOCK]);
        // A window of 2 to the power of 41, and seven eighths more.
        let mut largest = frame(10, b"a");
        largest[5] = 0xFF;
        assert_eq!(found(&largest, 1), [(15 << 38) + BLOCK]);
    }
}
