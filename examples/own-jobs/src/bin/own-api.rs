//! The API alone.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: api_service::Allocator = api_service::Allocator;

fn main() -> ExitCode {
    api_service::run(own_jobs::jobs)
}
