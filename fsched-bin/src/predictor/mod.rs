//! `fsched predictor`: trains the default predictor, says how good it is, and shows what it says.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`Predictor`]: the commands, and the process that they run in |
//! | `train.rs` | `fsched predictor train` |
//! | `retrain.rs` | training for a running master |
//! | `evaluate.rs` | `fsched predictor eval` |
//! | `show.rs` | `fsched predictor show` |
//! | `report.rs` | results of an evaluation as tables and JSON |
//! | `plot.rs` | cases of an evaluation as SVG |

mod evaluate;
mod plot;
mod report;
pub mod retrain;
mod show;
mod train;

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use fsched_core::predictor::engine::dataset::Dataset;

use crate::exit;

/// How many threads candle uses. One: the same numbers everywhere, and it is fastest for networks this small.
pub(crate) const THREADS: &str = "1";
/// Where candle's thread pool looks. Unset it counts the machine's CPUs at every product.
pub(crate) const THREADS_VARIABLE: &str = "RAYON_NUM_THREADS";

/// What can be done with the predictor of running times.
#[derive(Debug, Clone, Subcommand)]
pub enum Predictor {
    /// Train the default predictor's networks on curves of functions
    #[command(after_help = "\
The same curves and seed give the same file, byte for byte (same program, same kind of CPU).
Point the master to it with `predictor = { kind = \"mlp\", model = \"FILE\" }`.

Example:
  fsched predictor train --curves curves.csv --out model.safetensors")]
    Train(train::TrainArgs),
    /// Say how well the predictor does on functions that it was not trained on
    #[command(after_help = "\
Without --train every family of functions (np_x, py_x and x are one) is predicted by networks trained on all others.
All numbers in JSON are fractions of one: 0.05 is 5 %.

Examples:
  fsched predictor eval --json
  fsched predictor eval --curves mine.csv --train curves.csv --column est_time_cal_s")]
    Eval(evaluate::EvalArgs),
    /// Show a model, or what it predicts for a function of a file
    #[command(after_help = "\
Examples:
  fsched predictor show model.safetensors
  fsched predictor show --function fft --input-size 524288")]
    Show(show::ShowArgs),
}

/// Does what was said.
pub fn run(command: &Predictor, json: bool) -> u8 {
    let trains = !matches!(command, Predictor::Show(_));
    let child = if trains { in_a_child_unless_in_one() } else { None };
    let result = child.unwrap_or_else(|| {
        match command {
            Predictor::Train(args) => train::run(args, json),
            Predictor::Eval(args) => evaluate::run(args, json),
            Predictor::Show(args) => show::run(args, json),
        }
        .map(|()| exit::DONE)
    });
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        exit::FAILED
    })
}

/// The same command in a process fit to train; none: this one is.
pub(crate) fn in_a_child_unless_in_one() -> Option<anyhow::Result<u8>> {
    std::env::var_os(THREADS_VARIABLE).is_none().then(in_a_child)
}

/// The same command in a process that has the number of threads set: it cannot be set from inside.
fn in_a_child() -> anyhow::Result<u8> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let status = Command::new(program)
        .args(arguments)
        .env(THREADS_VARIABLE, THREADS)
        .status()
        .context("cannot start the process that trains")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::FAILED))
}

/// The curves that come with this program.
const OWN_CURVES: &str = Dataset::OWN;
/// The largest file of curves that is read.
const MAX_CURVES: u64 = 256 << 20;

/// Reads curves from a file, or those that come with this program.
fn curves(path: Option<&Path>, columns: &[String]) -> anyhow::Result<Dataset> {
    let Some(path) = path else {
        return Dataset::parse(OWN_CURVES, columns).context("the curves that come with fsched");
    };
    let length = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if length > MAX_CURVES {
        bail!("{} is larger than {} MiB", path.display(), MAX_CURVES >> 20);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Dataset::parse(&text, columns).with_context(|| path.display().to_string())
}
