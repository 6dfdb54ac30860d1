//! `fsched predictor eval`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use fsched_core::predictor::engine::dataset::{Dataset, FunctionCurves, family, startup, startups};
use fsched_core::predictor::engine::evaluation::{Report, answers, judge};
use fsched_core::predictor::engine::learning::Lessons;
use fsched_core::predictor::engine::model::Model;
use fsched_core::predictor::engine::training::{self, Recipe};

use super::{curves, plot, report};
use crate::progress;

#[derive(Debug, Clone, Args)]
pub struct EvalArgs {
    /// The curves to predict, in the form of function-curves/curves.csv [default: those that come with fsched]
    #[arg(long, value_name = "FILE")]
    curves: Option<PathBuf>,
    /// Train on the curves of this file, and predict only functions whose families are not in it
    #[arg(long, value_name = "FILE")]
    train: Option<PathBuf>,
    /// The column of times to predict; may be repeated [default: the first whose name begins with est_time]
    #[arg(long, value_name = "NAME")]
    column: Vec<String>,
    /// What is known of the start-up of interpreted functions, by other functions' curves
    #[arg(long, value_enum, default_value_t = StartUp::Runtime)]
    start_up: StartUp,
    /// Draw the best, the median and the worst case of each task there
    #[arg(long, value_name = "DIRECTORY")]
    plots: Option<PathBuf>,
}

/// What is known of the start-up of interpreted functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StartUp {
    /// Those in their runtime, whatever they load: as much as a running master knows
    Runtime,
    /// That of their runtime with the libraries that they load
    Libraries,
    /// Nothing
    Nothing,
}

pub(super) fn run(args: &EvalArgs, json: bool) -> anyhow::Result<()> {
    let all = curves(args.curves.as_deref(), &[]).or_else(|error| {
        // A file without columns that begin with est_time has to be told which column to take.
        if args.column.is_empty() { Err(error) } else { curves(args.curves.as_deref(), &args.column) }
    })?;
    let tested = if args.column.is_empty() {
        let first = all.columns.keys().find(|c| *c == "est_time_s").or_else(|| all.columns.keys().next());
        vec![first.context("there is no column of times")?.clone()]
    } else {
        args.column.clone()
    };
    let asked = curves(args.curves.as_deref(), &tested)?;
    let (models, train) = match &args.train {
        None => (cross_validated(&all)?, None),
        Some(path) => {
            let train = curves(Some(path), &[]).or_else(|_| curves(Some(path), &tested))?;
            (trained_once(&train, &asked)?, Some(train))
        }
    };
    let mut reports: Vec<Report> = Vec::new();
    for (column, functions) in &asked.columns {
        let nothing = Vec::new();
        let others = match &train {
            None => functions,
            Some(train) => train.columns.get(column).unwrap_or(&nothing),
        };
        let startups = |f: &FunctionCurves| match args.start_up {
            StartUp::Libraries => startup(others, &f.name).into_iter().collect(),
            StartUp::Runtime => startups(others, &f.name),
            StartUp::Nothing => Vec::new(),
        };
        let model = |f: &FunctionCurves| models.get(family(&f.name));
        let results = answers(functions, startups, model);
        if let Some(directory) = &args.plots {
            plot::cases(directory, column, &results)?;
        }
        reports.push(judge(column, functions, &results));
    }
    println!("{}", if json { report::json(&reports)? } else { report::tables(&reports) });
    Ok(())
}

/// For each family a model trained on all others.
fn cross_validated(dataset: &Dataset) -> anyhow::Result<BTreeMap<String, Model>> {
    let lessons = Lessons::of(dataset);
    let families = lessons.families();
    if families.len() < 2 {
        bail!("all functions are of one family: there is nothing to learn from; give --train");
    }
    let recipe = Recipe::default();
    let bar = progress::bar((families.len() * recipe.epochs * recipe.networks) as u64);
    bar.set_message("cross-validating");
    let (next, models, failed) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()), Mutex::new(None));
    let work = || {
        while let Some(one) = families.get(next.fetch_add(1, Ordering::Relaxed)) {
            let examples = lessons.examples(|family| family != one);
            match training::train(&examples, &recipe, &mut || bar.inc(1)) {
                Ok(networks) => {
                    let model = lessons.model(networks, |family| family != one);
                    models.lock().expect("nobody panics with it").insert(one.clone(), model);
                }
                Err(error) => *failed.lock().expect("nobody panics with it") = Some(error),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(families.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    if let Some(error) = failed.into_inner().expect("nobody panicked with it") {
        return Err(error).context("training failed");
    }
    Ok(models.into_inner().expect("nobody panicked with it"))
}

/// One model, for every family that it was not trained on.
fn trained_once(train: &Dataset, test: &Dataset) -> anyhow::Result<BTreeMap<String, Model>> {
    let lessons = Lessons::of(train);
    let known = lessons.families();
    let functions = test.columns.values().flatten();
    let unseen: Vec<&str> =
        functions.map(|f| family(&f.name)).filter(|f| !known.iter().any(|k| k == f)).collect();
    if unseen.is_empty() {
        bail!("every function to predict has a relative among those to train on");
    }
    let recipe = Recipe::default();
    let bar = progress::bar((recipe.epochs * recipe.networks) as u64);
    bar.set_message("training");
    let networks = training::train(&lessons.examples(|_| true), &recipe, &mut || bar.inc(1));
    bar.finish_and_clear();
    let model = lessons.model(networks.context("training failed")?, |_| true);
    Ok(unseen.into_iter().map(|family| (family.to_owned(), model.clone())).collect())
}
