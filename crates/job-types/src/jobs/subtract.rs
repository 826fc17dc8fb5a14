//! The job `subtract`.

use crate::finite::Finite;
use crate::run_error::RunError;
use crate::{RunJob, define_job};

define_job! {
    /// Subtracts `b` from `a`.
    pub struct Subtract = "subtract" { a: Finite, b: Finite }
}

impl RunJob for Subtract {
    fn run(self) -> Result<String, RunError> {
        super::finite(self.a.get() - self.b.get())
    }
}
