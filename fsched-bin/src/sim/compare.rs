//! All simulations of a file, in parallel.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::config::{Experiment, Workload};
use super::policies::{Models, Policy};
use super::scene::Setting;
use super::trial::{self, Outcome};
use crate::progress;

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
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = jobs.unwrap_or(available).clamp(1, plan.len());
    let bar = progress::bar(plan.len() as u64);
    bar.set_message("simulating");
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, anyhow::Result<Outcome>)>> = Mutex::default();
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(&(workload, seed, policy)) = plan.get(at) else { return };
            let outcome = trial::run(experiment, &setting, &models, workload, policy, seed, None);
            bar.inc(1);
            if outcome.is_err() {
                next.store(plan.len(), Ordering::Relaxed);
            }
            done.lock().expect("nobody panics with it").push((at, outcome));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    let mut done = done.into_inner().expect("nobody panicked with it");
    done.sort_by_key(|(at, _)| *at);
    let outcomes = done.into_iter().map(|(_, outcome)| outcome).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Comparison { experiment, workloads, outcomes, took: began.elapsed(), threads })
}
