//! Everything in one process: broker, API and worker.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: work_factory::Allocator = work_factory::Allocator;

fn main() -> ExitCode {
    work_factory::run(own_jobs::jobs)
}
