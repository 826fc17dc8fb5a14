//! The job `subtract`.

use crate::context::JobContext;
use crate::finite::Finite;
use crate::run_error::RunError;
use crate::{RunJob, define_job};

define_job! {
    /// Subtracts `b` from `a`.
    pub struct Subtract = "subtract" { a: Finite, b: Finite }
}

impl RunJob for Subtract {
    type Output = Finite;

    async fn run(self, _: JobContext) -> Result<Finite, RunError> {
        super::finite(self.a.get() - self.b.get())
    }
}
