//! What processes and the emulator did while something was measured.

use link_emulator::Verdict;

use crate::part::order::Via;
use crate::processor::Usage;
use crate::report::Run;
use crate::stack::Stack;

/// What was used between the beginning and the end of what counts.
pub(super) struct Watch {
    processes: Vec<(&'static str, u32)>,
    before: Usage,
}

impl Watch {
    /// The API counts only where the jobs go through it; otherwise it is idle beside them.
    pub(super) fn begin(stack: &Stack, via: Via, more: &[(&'static str, u32)]) -> Self {
        let mut processes = stack.processes();
        processes.retain(|(name, _)| *name != "api" || via == Via::Http);
        processes.extend(more);
        let before = Usage::now(&processes);
        Self { processes, before }
    }

    pub(super) fn end(&self) -> Usage {
        Usage::now(&self.processes)
    }

    /// By how much a process's memory at its largest was more than at the beginning, in bytes.
    pub(super) fn grew(&self, after: &Usage, process: &str) -> Option<f64> {
        let (before, peak) = (*self.before.resident.get(process)?, *after.peak.get(process)?);
        Some(peak.saturating_sub(before) as f64)
    }

    /// Fills in what a run used.
    pub(super) fn note(&self, after: &Usage, run: &mut Run) {
        for (name, ns) in &after.processor_ns {
            let used = ns.saturating_sub(self.before.processor_ns.get(name).copied().unwrap_or(0));
            run.processor_us_per_job
                .insert((*name).into(), used as f64 / 1e3 / run.jobs.max(1) as f64);
        }
        run.resident_bytes =
            after.resident.iter().map(|(name, bytes)| ((*name).into(), *bytes)).collect();
        run.stolen_share = after.stolen_share(&self.before);
    }
}

/// Fills in whether the emulator was sound.
pub(super) fn note_link(stack: &Stack, run: &mut Run) {
    run.link = stack.distance.watched();
    if let Some(watched) = &run.link
        && let Verdict::Void(reasons) = &watched.verdict
    {
        run.void = reasons.clone();
    }
}
