//! How good the rules that split a cache are, on curves of real programs: `fsched split eval`.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | what can be said on the command line, from the file to the tables |
//! | `curves.rs` | programs, and their curves read from a file |
//! | `mixes.rs` | seeded random mixes of them |
//! | `evaluation.rs` | all of what follows |
//! | `splitting.rs` | rules that give everybody ways of its own, against the exact split |
//! | `sharing.rs` | rules that let runners share classes, against everything tried |
//! | `repartitioning.rs` | how much is lost by changing masks only where it pays |
//! | `report.rs` | what was found, as tables |

mod curves;
mod evaluation;
mod mixes;
mod repartitioning;
mod report;
mod sharing;
mod splitting;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fsched_core::split::sharing::{FAIRNESS, POWER};

use self::curves::Programs;
use self::evaluation::{Plan, Report};
use crate::{cli, exit, progress, table};

/// What can be done with the solvers by hand.
#[derive(Debug, Clone, Subcommand)]
pub enum Split {
    /// Compare the rules that split a cache, on random mixes of programs whose curves are known
    #[command(after_help = HELP)]
    Eval(EvalArgs),
}

const HELP: &str = "\
The file is CSV. It has the columns BENCH,NR_WAYS,ipc,llcrpki,llcmpki (programs measured by ways), or
name,input_size,ways,est_time_s,ll_misses,d1_misses,i1_misses (what `fsched profile` writes); others are ignored.

Examples:
  fsched split eval --curves metrics.csv
  fsched split eval --curves curves.csv --mixes 200 --json";

/// What `fsched split eval` is told.
#[derive(Debug, Clone, Args)]
pub struct EvalArgs {
    /// The file that holds the curves
    #[arg(long, value_name = "FILE")]
    curves: PathBuf,
    /// Random mixes of each kind; a tenth of it where classes are shared, events five times as many
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    mixes: u32,
    /// What all randomness comes from: the same seed, the same tables
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Sharers cost their slowdown to the power of this: 1 is for the mean alone, more also for fairness
    #[arg(long, default_value_t = POWER, value_parser = power)]
    power: f64,
    /// How much more than the least a sharing may cost that is fairer: this part of it, per runner beyond one a class (half a one
    /// where there are none) and way
    #[arg(long, default_value_t = FAIRNESS, value_parser = fairness)]
    fairness: f64,
}

fn power(text: &str) -> Result<f64, String> {
    let read = text.parse().ok().filter(|power| (1.0..=10.0).contains(power));
    read.ok_or_else(|| "it has to be a number from 1 to 10".to_owned())
}

fn fairness(text: &str) -> Result<f64, String> {
    let read = text.parse().ok().filter(|fairness| (0.0..=1.0).contains(fairness));
    read.ok_or_else(|| "it has to be a number from 0 to 1".to_owned())
}

impl Split {
    /// Does it; the exit code.
    pub fn run(&self, json: bool) -> u8 {
        let Self::Eval(args) = self;
        let path = args.curves.display();
        let programs = match std::fs::read_to_string(&args.curves) {
            Ok(text) => Programs::parse(&text).map_err(|error| format!("{path}: {error}")),
            Err(error) => Err(format!("{path} cannot be read: {error}")),
        };
        let programs = match programs {
            Ok(programs) => programs,
            Err(error) => {
                eprintln!("fsched: {error}");
                return exit::USAGE;
            }
        };
        let bar = progress::bar(evaluation::steps(&programs));
        let plan = Plan { mixes: args.mixes, seed: args.seed, power: args.power, fairness: args.fairness };
        let report = evaluation::evaluate(&programs, plan, |what| {
            bar.set_message(what.to_owned());
            bar.inc(1);
        });
        bar.finish_and_clear();
        cli::print_text(&if json { as_json(&report) } else { as_text(&report) })
    }
}

fn as_json(report: &Report) -> String {
    serde_json::to_string_pretty(report).expect("numbers and names are JSON")
}

fn as_text(report: &Report) -> String {
    const WORDS: [&str; 3] = ["programs", "rule", "masks change"];
    let tables = report.tables().into_iter().map(|found| {
        let right: Vec<&str> = found.header.iter().copied().filter(|name| !WORDS.contains(name)).collect();
        format!("{}\n\n{}", found.title, table::plain(&found.header, &right, found.lines))
    });
    tables.collect::<Vec<_>>().join("\n\n")
}
