//! The job `add`.

use crate::finite::Finite;
use crate::run_error::RunError;
use crate::{RunJob, define_job};

define_job! {
    /// Adds `b` to `a`.
    pub struct Add = "add" { a: Finite, b: Finite }
}

impl RunJob for Add {
    fn run(self) -> Result<String, RunError> {
        super::finite(self.a.get() + self.b.get())
    }
}
