//! The worker alone.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: worker_service::Allocator = worker_service::Allocator;

fn main() -> ExitCode {
    worker_service::run(own_jobs::jobs)
}
