//! `fsched predictor train`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use fsched_core::predictor::engine::learning::Lessons;
use fsched_core::predictor::engine::training::{self, Recipe};
use serde_json::json;

use super::curves;
use crate::progress;

#[derive(Debug, Clone, Args)]
pub struct TrainArgs {
    /// Curves in the form of function-curves/curves.csv [default: those that come with fsched]
    #[arg(long, value_name = "FILE")]
    curves: Option<PathBuf>,
    /// Where to write the model
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What the first weights are drawn from
    #[arg(long, default_value_t = Recipe::default().seed)]
    seed: u64,
    /// How often every example is looked at
    #[arg(long, default_value_t = Recipe::default().epochs as u64, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    epochs: u64,
}

pub(super) fn run(args: &TrainArgs, json: bool) -> anyhow::Result<()> {
    let lessons = Lessons::of(&curves(args.curves.as_deref(), &[])?);
    let recipe = Recipe { seed: args.seed, epochs: args.epochs as usize, ..Recipe::default() };
    let examples = lessons.examples(|_| true);
    let bar = progress::bar((recipe.epochs * recipe.networks) as u64);
    bar.set_message("training");
    let networks = training::train(&examples, &recipe, &mut || bar.inc(1)).context("training failed")?;
    bar.finish_and_clear();
    let bytes = lessons.model(networks, |_| true).write();
    std::fs::write(&args.out, &bytes).with_context(|| format!("cannot write {}", args.out.display()))?;
    let (count, families) = (examples.len(), lessons.families().len());
    let text = if json {
        json!({ "model": args.out, "bytes": bytes.len(), "examples": count, "families": families, "seed": args.seed })
            .to_string()
    } else {
        format!(
            "{}: {} bytes, from {count} examples of {families} families of functions, seed {}",
            args.out.display(),
            bytes.len(),
            args.seed
        )
    };
    println!("{text}");
    Ok(())
}
