//! Work Factory in one process, with the jobs of job-types.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: work_factory::Allocator = work_factory::Allocator;

fn main() -> ExitCode {
    work_factory::run(job_types::jobs::registry)
}
