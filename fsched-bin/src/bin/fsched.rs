//! One command for everything: servers, functions, runs, the demo.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    if let Some(trained) = fsched_bin::predictor::retrain::if_asked() {
        return trained;
    }
    fsched_bin::cli::run(fsched_bin::cli::Cli::parse())
}
