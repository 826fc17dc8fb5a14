//! The API as a process of its own, with the jobs of job-types.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: api_service::Allocator = api_service::Allocator;

fn main() -> ExitCode {
    api_service::run(job_types::jobs::registry)
}
