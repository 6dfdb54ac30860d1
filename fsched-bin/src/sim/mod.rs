//! `fsched sim`: clusters under virtual time.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | what can be said on the command line |
//! | `config.rs` | `Experiment`: what a configuration file says |
//! | `policies.rs` | the policies by name; the default predictor, trained on other functions than those that run |
//! | `scene.rs` | from a workload of the file and a seed to functions and arrivals |
//! | `trial.rs` | one simulation, from its start to its numbers |
//! | `measure.rs` | the numbers of one simulation |
//! | `statistics.rs` | means, quantiles, confidence intervals |
//! | `sketch.rs` | `Sketch`: many numbers in little memory |
//! | `sizing.rs` | how many workers a bound on slowdown takes |
//! | `parallel.rs` | many simulations at once |
//! | `compare.rs` | all simulations of a file |
//! | `report.rs`, `html.rs`, `plot.rs` | what is written: tables, one page, pictures |

mod compare;
mod config;
mod html;
mod measure;
mod parallel;
mod plot;
mod policies;
mod report;
mod scene;
mod sizing;
mod sketch;
mod statistics;
mod trial;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use self::config::Experiment;
use crate::{exit, predictor};

/// What can be simulated.
#[derive(Debug, Clone, Subcommand)]
pub enum Sim {
    /// Simulate one policy on one workload of a file, and print what came of it
    #[command(after_help = "Example:\n  fsched sim run examples/sim/quick.toml --policy fsched --seed 1")]
    Run(RunArgs),
    /// Simulate all policies of a file on all its workloads, and write a report
    #[command(after_help = "\
The same workloads and seeds meet every policy. What is written: report.md, report.html (everything in one file), CSV files and SVG
pictures. The same file and program make the same numbers, whatever the number of jobs.

Example:
  fsched sim compare examples/sim/quick.toml --out report")]
    Compare(CompareArgs),
    /// Search how many workers each policy of a file needs for its workloads
    #[command(after_help = "\
The calls are those that each workload makes on the workers of the file; they meet more workers or fewer. What counts is the 99th
percentile of slowdown, in the mean over the file's seeds.

Example:
  fsched sim size examples/sim/sizing.toml")]
    Size(SizeArgs),
}

/// What `fsched sim size` is told.
#[derive(Debug, Clone, Args)]
pub struct SizeArgs {
    /// The file that says what is simulated
    config: PathBuf,
    /// What the 99th percentile of slowdown may be
    #[arg(long, default_value_t = 1.5)]
    p99: f64,
    /// How many simulations at once; as many as there are CPUs where nothing is said
    #[arg(long)]
    jobs: Option<usize>,
}

/// What `fsched sim run` is told.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The file that says what is simulated
    config: PathBuf,
    /// Which policy; the first of the file where none is named
    #[arg(long)]
    policy: Option<String>,
    /// Which workload; the first of the file where none is named
    #[arg(long)]
    workload: Option<String>,
    /// What all randomness comes from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write every event to this file; large
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// What `fsched sim compare` is told.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// The file that says what is simulated
    config: PathBuf,
    /// The directory to write to; made where it is not there
    #[arg(long, value_name = "DIRECTORY")]
    out: PathBuf,
    /// How many simulations at once; as many as there are CPUs where nothing is said
    #[arg(long)]
    jobs: Option<usize>,
}

impl Sim {
    /// Does it; the exit code.
    pub fn run(&self, json: bool) -> u8 {
        let (Self::Run(RunArgs { config, .. })
        | Self::Compare(CompareArgs { config, .. })
        | Self::Size(SizeArgs { config, .. })) = self;
        let experiment = match Experiment::read(config) {
            Ok(experiment) => experiment,
            Err(error) => {
                eprintln!("error: {error:#}");
                return exit::USAGE;
            }
        };
        // Training wants a process of its own.
        if experiment.trains()
            && let Some(done) = predictor::in_a_child_unless_in_one()
        {
            return done.unwrap_or_else(|error| {
                eprintln!("error: {error:#}");
                exit::FAILED
            });
        }
        let done = match self {
            Self::Run(args) => one(&experiment, args, json),
            Self::Size(args) => sizing::size(&experiment, args.p99, args.jobs).map(|table| print!("{table}")),
            Self::Compare(args) => compare::compare(&experiment, &args.out, args.jobs)
                .and_then(|comparison| report::write(&comparison, &args.out)),
        };
        match done {
            Ok(()) => exit::DONE,
            Err(error) => {
                eprintln!("error: {error:#}");
                exit::FAILED
            }
        }
    }
}

fn one(experiment: &Experiment, args: &RunArgs, json: bool) -> anyhow::Result<()> {
    let policy = match &args.policy {
        None => experiment.policies[0],
        Some(name) => name.parse()?,
    };
    let workloads = experiment.workloads();
    let workload = match &args.workload {
        None => workloads.first(),
        Some(name) => workloads.iter().find(|workload| workload.name == *name),
    };
    let names = || workloads.iter().map(|workload| workload.name.as_str()).collect::<Vec<_>>().join(", ");
    let workload = workload.with_context(|| format!("there is no such workload; there are {}", names()))?;
    let setting = scene::Setting::new(experiment)?;
    let models = policies::Models::train(experiment, &setting, &[policy], &[args.seed])?;
    let outcome =
        trial::run(experiment, &setting, &models, workload, policy, args.seed, args.log.as_deref())?;
    if json {
        println!("{}", serde_json::to_string_pretty(&outcome.numbers)?);
    } else {
        println!("{}", report::one(&outcome.numbers));
    }
    Ok(())
}
