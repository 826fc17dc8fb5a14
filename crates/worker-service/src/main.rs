//! The worker as a process of its own: runs the jobs of job-types.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: worker_service::Allocator = worker_service::Allocator;

fn main() -> ExitCode {
    worker_service::run(job_types::jobs::registry)
}
