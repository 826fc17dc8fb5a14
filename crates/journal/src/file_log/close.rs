//! The orderly end of a log.

use super::FileLog;
use crate::disk::Disk;
use crate::log::{Log, LogFailed};
use crate::manifest::Manifest;
use crate::segment;
use crate::shared::Spare;

/// The next opening makes its first segment of it, also where the disk is full.
const SPARES_WHEN_CLOSED: usize = 1;

impl<D: Disk> FileLog<D> {
    /// Makes everything durable, and notes that the journal ends here. What was cut goes, so that
    /// the next opening reads nothing of it. Nothing more can be appended.
    ///
    /// # Errors
    /// Where the log has failed, or fails now.
    pub fn close(&mut self) -> Result<(), LogFailed> {
        self.flush();
        self.end_threads();
        while self.shared.sync_once() {}
        let (manifest, gone) = {
            let mut state = self.shared.lock();
            if let Some(failed) = &state.failed {
                return Err(failed.clone());
            }
            state.seal(self.active.id, self.end);
            let mut gone = state.drain_cut();
            if let Some(unused) = state.prepared.take() {
                let segments = &mut state.manifest.segments;
                gone.extend(segments.iter().filter(|segment| segment.id == unused.id).cloned());
                segments.retain(|segment| segment.id != unused.id);
            }
            (Manifest { durable: state.durable, ..state.manifest.clone() }, gone)
        };
        // The segments are finished.
        self.shared.lock().failed = Some(LogFailed { reason: "it was closed".into() });
        let gone = gone
            .iter()
            .map(|segment| Spare { name: segment::name(segment.id), bytes: segment.bytes });
        self.shared.lock().doubtful.extend(gone);
        self.shared
            .write_manifest(&manifest)
            .map_err(|error| LogFailed::of("the manifest", &error))?;
        self.shared.trim(SPARES_WHEN_CLOSED);
        Ok(())
    }

    /// Ends the threads: from now on the caller does by [`FileLog::work`] what they did.
    pub fn end_threads(&mut self) {
        self.shared.lock().is_closing = true;
        self.shared.to_sync.notify_all();
        self.shared.to_make.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has done nothing more: what it did not sync is not durable.
            let _ = thread.join();
        }
    }
}
