//! The command line of `fsched`: what can be said, and what is then done.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`Cli`]: the commands and the options that all of them share |
//! | `function.rs` | `fsched function push`, `list`, `show`, `remove` |
//! | `run.rs` | `fsched run` and `fsched benchmark` |
//! | `profile.rs` | `fsched profile` |
//! | `invocations.rs` | `fsched invocations list`, `show`, `cancel` |
//! | `record.rs` | `fsched record` |
//! | `workers.rs` | `fsched workers list`, `add`, `drain`, `remove`, and `fsched status` |
//! | `session.rs` | one command at work: the client, the output, Ctrl-C |

mod function;
mod invocations;
pub(crate) mod profile;
mod record;
mod run;
mod session;
mod workers;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::settings::{MasterFlags, MasterSettings, WorkerFlags, WorkerSettings};
use crate::{demo, doctor, exit, predictor, serve, sim, split, up};

pub(crate) use run::EXECUTE;

use session::Session;

/// A Function-as-a-Service platform that knows the last-level cache
#[derive(Debug, Clone, Parser)]
#[command(
    name = "fsched",
    version,
    propagate_version = true,
    after_help = concat!(
        "Examples:\n",
        "  fsched demo                                        see it work\n",
        "  fsched doctor                                      whether masks will be enforced here\n",
        "  fsched up                                          a master and a worker, until Ctrl-C\n",
        "  fsched function push resize.py --command python3\n",
        "  fsched benchmark resize.py --input-size 1024\n",
        "  fsched run resize.py --input-size 2048\n",
        "\n",
        "Exit codes:\n",
        "  0 done · 1 refused or failed · 2 bad usage · 3 master not reached · 130 interrupted\n",
        "  `fsched run` ends with the function's own code; 124 its time was over, 125 it was not run,\n",
        "  137 out of memory, 128+n ended by signal n"
    )
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Where the help lists what every command understands.
const EVERYWHERE: &str = "Options of every command";

/// What every command understands.
#[derive(Debug, Clone, clap::Args)]
pub struct Global {
    /// The master's base URL
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        env = "FSCHED_URL",
        default_value = "http://127.0.0.1:3200",
        value_name = "URL"
    )]
    pub url: String,
    /// The file that holds the token to show, the platform's or a tenant's; without it FSCHED_TOKEN in the environment
    #[arg(long, global = true, help_heading = EVERYWHERE, env = "FSCHED_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub json: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Run a master and workers on this machine until Ctrl-C
    ///
    /// Functions and what was learnt about them are kept for the next time.
    #[command(
        after_help = "Examples:\n  fsched up\n  fsched up --listen 127.0.0.1:0 --workers 2 --data-dir ./state"
    )]
    Up(up::UpArgs),
    /// Run a master (the same as fsched-master)
    Master(MasterFlags),
    /// Run a worker (the same as fsched-worker)
    #[command(after_help = "Example:\n  fsched worker --master http://127.0.0.1:3200 --listen 127.0.0.1:0")]
    Worker(WorkerFlags),
    /// Push, list, show and remove functions
    #[command(subcommand)]
    Function(function::Function),
    /// Run a function a few times alone, to learn how its time depends on the cache
    ///
    /// Where hardware does not divide its cache that shows one point only; --profile adds what a simulated cache shows.
    #[command(
        after_help = "Examples:\n  fsched benchmark resize.py --input-size 1024\n  fsched benchmark resize.py --input-size 1024 --profile"
    )]
    Benchmark(run::BenchmarkArgs),
    /// Run a function; prints what it prints, and ends as it ends
    #[command(after_help = run::HELP)]
    Run(run::RunArgs),
    /// Learn how a command's time depends on the cache, on hardware that does not divide it
    #[command(after_help = profile::HELP)]
    Profile(profile::ProfileArgs),
    /// List, show and cancel invocations
    #[command(subcommand)]
    Invocations(invocations::Invocations),
    /// List, add, drain and remove workers
    #[command(subcommand)]
    Workers(workers::Workers),
    /// Write what the master ran as a trace, for `fsched sim`
    #[command(after_help = record::HELP)]
    Record(record::RecordArgs),
    /// Show what the master is doing
    Status,
    /// See it work: a master, two workers, three functions of different cache appetite
    ///
    /// Needs nothing but this program, changes nothing on this machine, and takes well under a minute.
    #[command(after_help = "Examples:\n  fsched demo\n  fsched demo --profile")]
    Demo(demo::DemoArgs),
    /// Train the predictor of running times, judge it, and show what it says
    #[command(subcommand)]
    Predictor(predictor::Predictor),
    /// Show what this machine has, what fsched does with it, and what would help
    #[command(after_help = doctor::HELP)]
    Doctor,
    /// Simulate clusters under virtual time, and compare policies
    #[command(subcommand)]
    Sim(sim::Sim),
    /// Look at how a cache is split
    #[command(subcommand)]
    Split(split::Split),
    /// Print a commented configuration file with every key
    #[command(after_help = "Example:\n  fsched config worker > fsched-worker.toml")]
    Config {
        /// Of which program
        of: Program,
    },
    /// Print shell completions
    #[command(
        after_help = "Example:\n  fsched completions bash > ~/.local/share/bash-completion/completions/fsched"
    )]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Program {
    Master,
    Worker,
}

/// Does what the command line says.
pub fn run(cli: Cli) -> ExitCode {
    let Cli { global, command } = cli;
    let code = match command {
        Command::Up(args) => return exit::of_server(up::run(&args, &global)),
        Command::Master(flags) => {
            return exit::of_server(serve::master::run(&flags, global.token_file.as_deref()));
        }
        Command::Worker(flags) => {
            return exit::of_server(serve::worker::run(&flags, global.token_file.as_deref()));
        }
        Command::Predictor(command) => predictor::run(&command, global.json),
        Command::Demo(args) => demo::run(&args, global.json),
        Command::Doctor => doctor::run(global.json),
        Command::Sim(command) => command.run(global.json),
        Command::Split(command) => command.run(global.json),
        Command::Config { of } => print_text(match of {
            Program::Master => MasterSettings::SAMPLE,
            Program::Worker => WorkerSettings::SAMPLE,
        }),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "fsched", &mut script);
            print_text(&String::from_utf8_lossy(&script))
        }
        Command::Function(command) => Session::work(&global, async |session| command.run(session).await),
        Command::Benchmark(args) => Session::work(&global, async |session| args.run(session).await),
        Command::Profile(args) => Session::work(&global, async |session| args.run(session).await),
        Command::Run(args) => Session::work(&global, async |session| args.run(session).await),
        Command::Invocations(command) => Session::work(&global, async |session| command.run(session).await),
        Command::Workers(command) => Session::work(&global, async |session| command.run(session).await),
        Command::Record(args) => Session::work(&global, async |session| args.run(session).await),
        Command::Status => Session::work(&global, async |session| workers::status(session).await),
    };
    ExitCode::from(code)
}

/// Prints a text whole; a reader that goes away (`| head`) is no failure.
pub(crate) fn print_text(text: &str) -> u8 {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => exit::DONE,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => exit::DONE,
        Err(error) => {
            eprintln!("error: cannot write: {error}");
            exit::FAILED
        }
    }
}

#[cfg(test)]
mod tests;
