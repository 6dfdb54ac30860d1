//! The worker: runs functions for a master, each with its share of the cache.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use fsched_bin::settings::WorkerFlags;
use fsched_bin::{exit, serve};

/// A worker of an fsched cluster: runs functions for a master, each with its share of the cache
#[derive(Debug, Parser)]
#[command(name = "fsched-worker", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    flags: WorkerFlags,
    /// The file that holds the platform's own token; without it FSCHED_TOKEN in the environment
    #[arg(long, env = "FSCHED_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Prints `fsched-worker listening on URL` when ready, and registers itself with the master. SIGTERM: takes nothing new,
waits for what runs, ends.

Examples:
  fsched-worker --master http://127.0.0.1:3200
  fsched-worker --master http://10.0.0.1:3200 --listen 10.0.0.7:3000 --token-file /etc/fsched/token";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    exit::of_server(serve::worker::run(&arguments.flags, arguments.token_file.as_deref()))
}
