//! The memory for the windows of zstd frames: a decoder keeps as much of what it has decoded as the
//! frame's header asks for, whatever the frame holds.

use super::Encoding;
use super::failure::Failure;
use super::frames::Frames;
use super::memory::{Memory, Window};
use super::parts::ZSTD_WINDOW_LOG_MAX;

/// What a decoder may keep without a share: it takes about as much for other things.
const FREE_BYTES: usize = 128 << 10;
/// A larger window is refused by the decoder, which takes no memory for it.
const MOST_BYTES: usize = (1 << ZSTD_WINDOW_LOG_MAX) + (128 << 10);

/// The windows of one body.
pub(super) struct Windows {
    /// `None` where the encoding has none.
    frames: Option<Frames>,
    memory: Memory,
    window: Window,
}

impl Windows {
    pub(super) fn of(encoding: Encoding, memory: Memory) -> Self {
        let frames = (encoding == Encoding::Zstd).then(Frames::new);
        Self { frames, memory, window: Window::default() }
    }

    /// Waits for the memory of the frames that begin in these bytes, which the decoder is about to
    /// take. A decoder keeps the memory of its largest frame.
    ///
    /// # Errors
    /// Where others hold too much.
    pub(super) async fn pass(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(frames) = &mut self.frames else { return Ok(()) };
        let kept = usize::try_from(frames.pass(bytes)).unwrap_or(usize::MAX);
        if kept <= FREE_BYTES || kept > MOST_BYTES {
            return Ok(());
        }
        self.memory.enlarge(&mut self.window, kept).await
    }
}
