//! The job `divide`.

use crate::context::JobContext;
use crate::finite::Finite;
use crate::run_error::RunError;
use crate::{RunJob, define_job};

define_job! {
    /// Divides `a` by `b`.
    pub struct Divide = "divide" { a: Finite, b: Finite }
}

impl RunJob for Divide {
    type Output = Finite;

    async fn run(self, _: JobContext) -> Result<Finite, RunError> {
        if self.b.get() == 0.0 {
            return Err(RunError::for_good("division_by_zero", "b is 0"));
        }
        super::finite(self.a.get() / self.b.get())
    }
}
