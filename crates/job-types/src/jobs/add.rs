//! The job `add`.

use crate::context::JobContext;
use crate::finite::Finite;
use crate::run_error::RunError;
use crate::{RunJob, define_job};

define_job! {
    /// Adds `b` to `a`.
    pub struct Add = "add" { a: Finite, b: Finite }
}

impl RunJob for Add {
    type Output = Finite;

    async fn run(self, _: JobContext) -> Result<Finite, RunError> {
        super::finite(self.a.get() + self.b.get())
    }
}
