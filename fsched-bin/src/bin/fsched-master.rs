//! The master: accepts functions and invocations over HTTP, and has workers run them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use fsched_bin::settings::MasterFlags;
use fsched_bin::{exit, serve};

/// The master of an fsched cluster: accepts functions and invocations over HTTP, and has workers run them
#[derive(Debug, Parser)]
#[command(name = "fsched-master", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    flags: MasterFlags,
    /// The file that holds the platform's own token; without it FSCHED_TOKEN in the environment
    #[arg(long, env = "FSCHED_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Prints `fsched-master listening on URL` when ready. SIGTERM: takes nothing new, waits for what runs, ends.

Examples:
  fsched-master
  fsched-master --listen 0.0.0.0:3200 --token-file /etc/fsched/token --data-dir /var/lib/fsched/master";

fn main() -> ExitCode {
    if let Some(trained) = fsched_bin::predictor::retrain::if_asked() {
        return trained;
    }
    let arguments = Arguments::parse();
    exit::of_server(serve::master::run(&arguments.flags, arguments.token_file.as_deref()))
}
