//! All simulations of a file.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::config::{Experiment, Workload};
use super::parallel;
use super::policies::{Models, Policy};
use super::scene::Setting;
use super::trial::{self, Outcome};

/// Everything that was simulated.
pub(super) struct Comparison<'a> {
    pub(super) experiment: &'a Experiment,
    pub(super) workloads: Vec<Workload>,
    /// By workload, seed and policy, each in the order of the file.
    pub(super) outcomes: Vec<Outcome>,
    /// How long it all took, on so many threads.
    pub(super) took: Duration,
    pub(super) threads: usize,
}

impl Comparison<'_> {
    /// What came of a policy on a workload, by seed.
    pub(super) fn of(&self, workload: usize, policy: usize) -> impl Iterator<Item = &Outcome> {
        let (policies, seeds) = (self.experiment.policies.len(), self.experiment.seeds as usize);
        (0..seeds).map(move |seed| &self.outcomes[(workload * seeds + seed) * policies + policy])
    }
}

/// Simulates everything.
///
/// # Errors
/// What one simulation says that could not be made.
pub(super) fn compare<'a>(
    experiment: &'a Experiment,
    out: &Path,
    jobs: Option<usize>,
) -> anyhow::Result<Comparison<'a>> {
    // It takes long: whether something can be written is better known before.
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let began = Instant::now();
    let setting = Setting::new(experiment)?;
    let seeds: Vec<u64> = (0..experiment.seeds).collect();
    let models = Models::train(experiment, &setting, &experiment.policies, &seeds)?;
    let workloads = experiment.workloads();
    let mut plan: Vec<(&Workload, u64, Policy)> = Vec::new();
    for workload in &workloads {
        for &seed in &seeds {
            plan.extend(experiment.policies.iter().map(|&policy| (workload, seed, policy)));
        }
    }
    let threads = parallel::threads(jobs, plan.len());
    let outcomes = parallel::each(&plan, threads, "simulating", |&(workload, seed, policy)| {
        trial::run(experiment, &setting, &models, workload, policy, seed, None)
    })?;
    Ok(Comparison { experiment, workloads, outcomes, took: began.elapsed(), threads })
}
