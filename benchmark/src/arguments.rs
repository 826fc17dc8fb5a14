//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::link_command::LinkArguments;
use crate::values::parse_duration;

#[derive(Debug, Parser)]
#[command(name = "benchmark", version, long_about = None)]
#[command(about = "Measures posting and running jobs over distance, against the faktory crate")]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Without arguments: a tour of the headline cases, about five minutes. \
                        benchmark/README.md explains each scenario.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) task: Option<Task>,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Shows what changed between two reports
    Compare {
        /// The earlier report (JSON)
        before: PathBuf,
        /// The later report (JSON)
        after: PathBuf,
    },
    /// Measures the figures of a gate, and fails when a figure misses its bounds
    Gate {
        /// The gate's name
        name: String,
        /// Measures nothing: judges an earlier report of the gate (JSON)
        #[arg(long, value_name = "REPORT")]
        of: Option<PathBuf>,
        #[command(flatten)]
        run: RunArguments,
    },
    /// Runs a command on the far side of an emulated link
    Link(LinkArguments),
    /// Lists networks, scenarios and gates
    List,
    /// Makes the page of a report
    Page {
        /// The report (JSON)
        report: PathBuf,
        /// The file of the page; by default beside the report
        output: Option<PathBuf>,
    },
    /// Writes a report's table into a README, between its two marks
    Readme {
        /// The report (JSON)
        report: PathBuf,
        /// The README
        #[arg(default_value = "README.md")]
        readme: PathBuf,
    },
    /// Runs a process of the benchmark: work server, API, load, worker, attendant and others
    #[command(hide = true)]
    Part,
    /// Runs a program that ends with the benchmark
    #[command(hide = true)]
    Exec {
        #[arg(long)]
        parent: u32,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunArguments {
    /// Every scenario on every network; over an hour
    #[arg(long)]
    pub(crate) full: bool,
    /// Every scenario with little load, on one network: shows that all works, measures nothing
    #[arg(long, conflicts_with = "full")]
    pub(crate) little: bool,
    /// Only these networks
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) network: Vec<String>,
    /// Only these scenarios; a name may end with *
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) scenario: Vec<String>,
    /// Only these ways: http, link, worker, crate, raw
    #[arg(long, value_name = "WAY", value_delimiter = ',')]
    pub(crate) via: Vec<String>,
    /// Number of repetitions, each of all measurements
    #[arg(long, value_name = "N")]
    pub(crate) repetitions: Option<usize>,
    /// Length of each measurement
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Length of the warm-up before each measurement
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) warm_up: Option<Duration>,
    /// Number of clients of the concurrent scenarios
    #[arg(long, value_name = "N")]
    pub(crate) clients: Option<usize>,
    /// Number of clients of the sustained scenario
    #[arg(long, value_name = "N")]
    pub(crate) sustained_clients: Option<usize>,
    /// Requests a second of the open loop
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<f64>,
    /// Number of connections to the work server, for our link and for the baseline
    #[arg(long, value_name = "N")]
    pub(crate) connections: Option<usize>,
    /// Number of jobs in the queue of the gate broker-depth [default: 10000000]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<u64>,
    /// TCP congestion control of the near side, such as cubic or bbr
    #[arg(long, value_name = "NAME")]
    pub(crate) near_congestion: Option<String>,
    /// TCP congestion control of the far side
    #[arg(long, value_name = "NAME")]
    pub(crate) far_congestion: Option<String>,
    /// A real Faktory as work server, instead of the embedded broker
    #[arg(long, value_name = "PATH")]
    pub(crate) faktory_bin: Option<PathBuf>,
    /// A work server that runs already (tcp://…), over the network as it is
    #[arg(long, value_name = "URL", conflicts_with = "faktory_bin")]
    pub(crate) faktory: Option<String>,
    /// The API in front of that work server (http://…)
    #[arg(long, value_name = "URL", requires = "faktory")]
    pub(crate) api: Option<String>,
    /// Delay bytes with a TCP proxy, without namespaces
    #[arg(long)]
    pub(crate) proxy: bool,
    /// Folder for report.json and report.html
    #[arg(long, value_name = "FOLDER", default_value = "benchmark-report")]
    pub(crate) output: PathBuf,
    /// No progress bar
    #[arg(long)]
    pub(crate) quiet: bool,
}
