//! What one record costs on the disk: a write into a file of zeros, and its fdatasync.

use std::io::{Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::raw_load::judge_quiet;
use crate::measure::Latencies;
use crate::part::raw::line_length;
use crate::report::{Counts, Run};
use crate::runner::load::per_second;
use crate::runner::watch::Watch;

/// The length of the file: a segment of a log.
const SEGMENT: usize = 16 << 20;

/// Writes and syncs records of the size of a PUSH for a time, in the folder in which the servers
/// have theirs.
pub(super) fn measure(lasts: Duration) -> anyhow::Result<Run> {
    let mut file = tempfile::tempfile().context("failed to make a file")?;
    file.write_all(&vec![0; SEGMENT])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let record = vec![b'x'; line_length()];
    let (mut latencies, mut count, mut written) = (Latencies::default(), 0, 0);
    let watch = Watch::over(vec![("client", std::process::id())]);
    let begin = Instant::now();
    while begin.elapsed() < lasts {
        if written + record.len() > SEGMENT {
            file.seek(SeekFrom::Start(0))?;
            written = 0;
        }
        let before = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        latencies.record(u64::try_from(before.elapsed().as_micros())?);
        count += 1;
        written += record.len();
    }
    let seconds = begin.elapsed().as_secs_f64();
    let mut run = Run {
        jobs: count,
        seconds,
        jobs_per_second: per_second(count, seconds),
        latency: latencies.summary(),
        counts: Counts { stored: count, arrived: count, ..Counts::default() },
        ..Run::default()
    };
    let after = watch.end();
    watch.note(&after, &mut run);
    judge_quiet(&watch, &after, &mut run);
    Ok(run)
}
