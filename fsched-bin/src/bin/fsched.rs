//! One command for everything: servers, functions, runs, the demo.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    fsched_bin::cli::run(fsched_bin::cli::Cli::parse())
}
