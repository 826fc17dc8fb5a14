//! The progress bar of a run.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar on standard error; nothing with `--quiet`.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new(measurements: usize, quiet: bool) -> Self {
        let target =
            if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(measurements as u64), target);
        if let Ok(style) = ProgressStyle::with_template(
            "{bar:30} {pos}/{len}  {elapsed} of about {duration}  {wide_msg}",
        ) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        Self(bar)
    }

    pub(crate) fn measures(&self, network: &str, scenario: &str, via: &str, repetition: usize) {
        self.0.set_message(format!("{network} · {scenario} · {via} · round {repetition}"));
    }

    pub(crate) fn one_done(&self) {
        self.0.inc(1);
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
