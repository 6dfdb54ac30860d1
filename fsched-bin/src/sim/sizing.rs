//! How many workers it takes.

use std::fmt::Write as _;

use super::config::{Experiment, Load, Workload};
use super::parallel;
use super::policies::{Models, Policy};
use super::scene::Setting;
use super::trial;

/// Up to how many times the workers of the file are tried.
const MOST: usize = 8;

/// What a policy needs for one workload.
struct Sized {
    /// None: even the most do not do.
    workers: Option<usize>,
    /// The 99th percentile with them, and with one fewer; none: there was none fewer.
    with: f64,
    without: Option<f64>,
}

/// The fewest workers with which each policy keeps the 99th percentile of slowdown, in the mean over seeds, at `bound` or below, for the calls
/// that each workload of the file makes on the workers there: a table.
///
/// Found by halving: more workers are taken to be no worse.
///
/// # Errors
/// What one simulation says that could not be made.
pub(super) fn size(experiment: &Experiment, bound: f64, jobs: Option<usize>) -> anyhow::Result<String> {
    let setting = Setting::new(experiment)?;
    let seeds: Vec<u64> = (0..experiment.seeds).collect();
    let models = Models::train(experiment, &setting, &experiment.policies, &seeds)?;
    let workloads = experiment.workloads();
    let plan: Vec<(&Workload, Policy)> = workloads
        .iter()
        .flat_map(|workload| experiment.policies.iter().map(move |&policy| (workload, policy)))
        .collect();
    let sized =
        parallel::each(&plan, parallel::threads(jobs, plan.len()), "searching", |&(workload, policy)| {
            let tail = |workers: usize| -> anyhow::Result<f64> {
                let (experiment, workload) = on(experiment, workload, workers);
                let mut sum = 0.0;
                for &seed in &seeds {
                    let outcome = trial::run(&experiment, &setting, &models, &workload, policy, seed, None)?;
                    // Whoever does not end is as late as can be.
                    let ends = outcome.numbers.unfinished == 0;
                    sum += if ends { outcome.numbers.p99 } else { f64::INFINITY };
                }
                Ok(sum / seeds.len() as f64)
            };
            search(experiment.cluster.workers * MOST, bound, tail)
        })?;
    let mut text = format!(
        "| workload | policy | workers for a 99th percentile ≤ {bound} | with them | with one fewer |\n| --- | --- | ---: | ---: | ---: |\n"
    );
    for (Sized { workers, with, without }, (workload, policy)) in sized.into_iter().zip(plan) {
        let workers =
            workers.map_or_else(|| format!("> {}", experiment.cluster.workers * MOST), |n| n.to_string());
        let without = without.map_or_else(String::new, |tail| format!("{tail:.2}"));
        // Writing to a string does not fail.
        let _ =
            writeln!(text, "| {} | `{}` | {workers} | {with:.2} | {without} |", workload.name, policy.name());
    }
    Ok(text)
}

/// The same calls on so many workers.
fn on(experiment: &Experiment, workload: &Workload, workers: usize) -> (Experiment, Workload) {
    let mut experiment = experiment.clone();
    let share = experiment.cluster.workers as f64 / workers as f64;
    experiment.cluster.workers = workers;
    let workload = Workload { load: Load::One(workload.load.get() * share), ..workload.clone() };
    (experiment, workload)
}

fn search(
    most: usize,
    bound: f64,
    mut tail: impl FnMut(usize) -> anyhow::Result<f64>,
) -> anyhow::Result<Sized> {
    let (mut fewer, mut without) = (0, None);
    // Doubled until it does.
    let mut enough = 1;
    let mut with = tail(enough)?;
    while with > bound {
        (fewer, without) = (enough, Some(with));
        if enough == most {
            return Ok(Sized { workers: None, with, without: None });
        }
        enough = (2 * enough).min(most);
        with = tail(enough)?;
    }
    while enough - fewer > 1 {
        let middle = fewer.midpoint(enough);
        let found = tail(middle)?;
        if found <= bound {
            (enough, with) = (middle, found);
        } else {
            (fewer, without) = (middle, Some(found));
        }
    }
    Ok(Sized { workers: Some(enough), with, without })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_that_do_are_found() {
        for enough in 1..40 {
            let mut asked = 0;
            let sized = search(32, 1.5, |workers| {
                asked += 1;
                Ok(if workers >= enough { 1.5 } else { 2.0 })
            });
            let Sized { workers, without, .. } = sized.unwrap();
            assert_eq!(workers, (enough <= 32).then_some(enough));
            assert_eq!(without, (2..=32).contains(&enough).then_some(2.0), "{enough}");
            assert!(asked <= 11, "{enough}: {asked}");
        }
    }
}
