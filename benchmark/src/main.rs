#![doc = include_str!("../README.md")]

mod arguments;
mod chaos;
mod distance;
mod gate;
mod link_command;
mod measure;
mod network;
mod part;
mod process;
mod processor;
mod progress;
mod report;
mod run_command;
mod runner;
mod scenario;
mod stack;
mod terminal;
mod values;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Task};
use terminal::say;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> ExitCode {
    allocator::return_large_blocks();
    let arguments = Arguments::parse();
    let result = match arguments.task {
        None => run_command::run(&arguments.run),
        Some(Task::Gate { name, of: Some(report), .. }) => run_command::judge(&name, &report),
        Some(Task::Gate { name, of: None, run }) => run_command::gate(&name, &run),
        Some(Task::Compare { before, after }) => run_command::compare(&before, &after),
        Some(Task::Page { report, output }) => run_command::page(&report, output),
        Some(Task::Readme { report, readme }) => run_command::readme(&report, &readme),
        Some(Task::List) => run_command::list(),
        Some(Task::Link(arguments)) => run_command::with_rights(|| link_command::run(&arguments)),
        Some(Task::Part) => part::run().map(|()| ExitCode::SUCCESS),
        Some(Task::Exec { parent, command }) => {
            link_command::exec(parent, &command).map(|never| match never {})
        }
    };
    result.unwrap_or_else(|error| {
        say(&format!("benchmark: {error:#}"));
        ExitCode::FAILURE
    })
}
