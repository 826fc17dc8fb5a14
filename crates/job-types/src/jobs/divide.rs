//! The job `divide`.

use crate::context::JobContext;
use crate::field_error::FieldError;
use crate::finite::Finite;
use crate::run_error::RunError;
use crate::{RunJob, define_job};

define_job! {
    /// Divides `a` by `b`.
    pub struct Divide = "divide" { a: Finite, b: Finite }
}

impl RunJob for Divide {
    type Output = Finite;

    fn check(&self) -> Result<(), Vec<FieldError>> {
        if self.b.get() == 0.0 {
            return Err(vec![FieldError::invalid("b", "b must not be 0")]);
        }
        Ok(())
    }

    async fn run(self, _: JobContext) -> Result<Finite, RunError> {
        super::finite(self.a.get() / self.b.get())
    }
}
