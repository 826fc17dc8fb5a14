//! The resources that processes used during a measurement, and whether the emulator was sound.

use link_emulator::Verdict;

use crate::part::order::Via;
use crate::processor::Usage;
use crate::report::Run;
use crate::stack::Stack;

/// The use of resources from the beginning of the measured time on.
pub(super) struct Watch {
    processes: Vec<(&'static str, u32)>,
    before: Usage,
}

impl Watch {
    /// Begins to watch the stack's processes and `more`. The API counts only where the jobs go
    /// through it; otherwise it is idle.
    pub(super) fn begin(stack: &Stack, via: Via, more: &[(&'static str, u32)]) -> Self {
        let mut processes = stack.processes();
        processes.retain(|(name, _)| *name != "api" || via == Via::Http);
        processes.extend(more);
        Self::over(processes)
    }

    /// Begins to watch these processes alone.
    pub(super) fn over(processes: Vec<(&'static str, u32)>) -> Self {
        let before = Usage::now(&processes);
        Self { processes, before }
    }

    /// The use at the end of the measured time.
    pub(super) fn end(&self) -> Usage {
        Usage::now(&self.processes)
    }

    /// The increase of a process's memory, from the beginning to its largest size, in bytes.
    pub(super) fn grew(&self, after: &Usage, process: &str) -> Option<f64> {
        let (before, peak) = (*self.before.resident.get(process)?, *after.peak.get(process)?);
        Some(peak.saturating_sub(before) as f64)
    }

    /// The share of the machine's processor time that processes took which are not watched.
    pub(super) fn others_share(&self, after: &Usage) -> f64 {
        after.others_share(&self.before)
    }

    /// Notes the use in a run.
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

/// Notes the link's counters in a run, and whether the emulator was sound.
pub(super) fn note_link(stack: &Stack, run: &mut Run) {
    run.link = stack.distance.watched();
    if let Some(watched) = &run.link
        && let Verdict::Void(reasons) = &watched.verdict
    {
        run.void.extend(reasons.iter().cloned());
    }
}
