//! The job `multiply`.

use crate::context::JobContext;
use crate::finite::Finite;
use crate::run_error::RunError;
use crate::{RunJob, define_job};

define_job! {
    /// Multiplies `a` by `b`.
    pub struct Multiply = "multiply" { a: Finite, b: Finite }
}

impl RunJob for Multiply {
    type Output = Finite;

    async fn run(self, _: JobContext) -> Result<Finite, RunError> {
        super::finite(self.a.get() * self.b.get())
    }
}
