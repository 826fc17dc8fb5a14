//! The run log: a file in which workers note their runs. The file outlives killed workers.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::Context;

/// A run log, to which several processes can append.
#[derive(Debug)]
pub(crate) struct RunLog(File);

/// The numbers of a job's begun and ended runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Times {
    pub(crate) begun: u32,
    pub(crate) ended: u32,
}

impl RunLog {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self(file.with_context(|| format!("failed to open {}", path.display()))?))
    }

    pub(crate) fn begun(&self, number: u64) {
        self.note(number << 1);
    }

    pub(crate) fn ended(&self, number: u64) {
        self.note(number << 1 | 1);
    }

    /// Appends eight bytes in one write, which the system appends as a whole.
    fn note(&self, record: u64) {
        let _ = (&self.0).write_all(&record.to_le_bytes());
    }

    /// The noted runs so far, by the jobs' numbers.
    pub(crate) fn read(path: &Path) -> anyhow::Result<HashMap<u64, Times>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("failed to read {}", path.display()));
            }
        };
        let mut jobs: HashMap<u64, Times> = HashMap::new();
        for record in bytes.as_chunks::<8>().0 {
            let record = u64::from_le_bytes(*record);
            let times = jobs.entry(record >> 1).or_default();
            if record & 1 == 0 { times.begun += 1 } else { times.ended += 1 }
        }
        Ok(jobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notes_of_several_writers_are_added_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs");
        assert!(RunLog::read(&path).unwrap().is_empty());
        let (one, other) = (RunLog::open(&path).unwrap(), RunLog::open(&path).unwrap());
        one.begun(7);
        other.begun(7);
        other.ended(7);
        one.begun(0);
        let jobs = RunLog::read(&path).unwrap();
        assert_eq!(
            (jobs[&7], jobs[&0]),
            (Times { begun: 2, ended: 1 }, Times { begun: 1, ended: 0 })
        );
    }
}
