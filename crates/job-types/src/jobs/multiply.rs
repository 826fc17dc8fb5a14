//! The job `multiply`.

use crate::finite::Finite;
use crate::run_error::RunError;
use crate::{RunJob, define_job};

define_job! {
    /// Multiplies `a` by `b`.
    pub struct Multiply = "multiply" { a: Finite, b: Finite }
}

impl RunJob for Multiply {
    fn run(self) -> Result<String, RunError> {
        super::finite(self.a.get() * self.b.get())
    }
}
