//! Training for a running master, in a process of its own: the master starts its own executable with [`ARGUMENT`], and looks at
//! what came out ([`serve`](crate::serve)).

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use fsched_core::predictor::engine::dataset::Dataset;
use fsched_core::predictor::engine::learning::Lessons;
use fsched_core::predictor::engine::model::Model;
use fsched_core::predictor::engine::platform::{read, score};
use fsched_core::predictor::engine::training::{self, Recipe};
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use serde::{Deserialize, Serialize};

use crate::exit;

/// The first word on the command line of such a process.
pub const ARGUMENT: &str = "--train-for-master";

/// The most memory that it may use. It takes some 200 MiB.
const MEMORY: u64 = 4 << 30;

/// What to do: on standard input, as one line of JSON. When that is closed, whoever asked has died.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The platform's curves to learn from, beside those that come with this program.
    pub learn: PathBuf,
    /// Those of functions that are never learnt from.
    pub check: PathBuf,
    /// The model in use; none: the one that comes with this program.
    pub current: Option<PathBuf>,
    /// Where to write the new one.
    pub out: PathBuf,
    /// How often every example is looked at.
    pub epochs: usize,
    /// The most seconds of CPU time.
    pub seconds: u64,
}

/// What came out: on standard output, as one line of JSON. How badly the models tell the needs of the functions to check.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The model in use.
    pub before: f64,
    /// The new one.
    pub after: f64,
}

/// Does it where the command line says so.
pub fn if_asked() -> Option<ExitCode> {
    let asked = std::env::args_os().nth(1).is_some_and(|first| first == ARGUMENT);
    asked.then(|| match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(exit::FAILED)
        }
    })
}

fn work() -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("cannot read what to do")?;
    let job: Job = serde_json::from_str(&line).context("this is started by a master")?;
    std::thread::spawn(|| {
        // Nothing more is said: what ends it is that nobody could say anything any more.
        let _end = std::io::stdin().lock().read(&mut [0]);
        std::process::exit(i32::from(exit::INTERRUPTED));
    });
    // Where it cannot be nice it still has its limits.
    let _nice = nice(19);
    let limit = |most| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::Cpu, limit(job.seconds)).context("cannot limit time")?;
    setrlimit(Resource::As, limit(MEMORY)).context("cannot limit memory")?;
    let scores = train(&job)?;
    println!("{}", serde_json::to_string(&scores)?);
    Ok(())
}

fn train(job: &Job) -> anyhow::Result<Scores> {
    let platform = |path: &Path| -> anyhow::Result<Lessons> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Lessons::of(&read(&text).with_context(|| path.display().to_string())?))
    };
    let (learn, check) = (platform(&job.learn)?, platform(&job.check)?);
    let current = match &job.current {
        None => Model::pretrained(),
        Some(path) => Model::read(&std::fs::read(path)?).with_context(|| path.display().to_string())?,
    };
    let own = Lessons::of(&Dataset::parse(Dataset::OWN, &[])?);
    let mut examples = own.examples(|_| true);
    examples.extend(learn.examples(|_| true));
    let recipe = Recipe { epochs: job.epochs, ..Recipe::default() };
    let networks = training::train(&examples, &recipe, &mut || ()).context("training failed")?;
    let judge = |networks: &_| score(networks, &check).context("there is nothing to check with");
    let scores = Scores { before: judge(&current.networks)?, after: judge(&networks)? };
    ensure!(scores.before.is_finite() && scores.after.is_finite(), "a score is not finite");
    // How far times may lie from a curve is learnt from whole curves alone.
    let bytes = own.model(networks, |_| true).write();
    std::fs::write(&job.out, bytes).with_context(|| format!("cannot write {}", job.out.display()))?;
    Ok(scores)
}
