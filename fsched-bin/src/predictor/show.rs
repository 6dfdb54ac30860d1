//! `fsched predictor show`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use fsched_core::predictor::engine::answer::Question;
use fsched_core::predictor::engine::candidates::Known;
use fsched_core::predictor::engine::dataset::startups;
use fsched_core::predictor::engine::model::Model;
use fsched_core::predictor::engine::shape::{GOOD_ENOUGH, GRID, Seen};
use serde_json::json;

use super::curves;
use crate::table;

#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// A model made by `fsched predictor train` [default: the one that comes with fsched]
    #[arg(value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Predict this function of the curves, from its other input sizes
    #[arg(long, value_name = "NAME", requires = "input_size")]
    function: Option<String>,
    /// The input size to predict
    #[arg(long, value_name = "N", requires = "function")]
    input_size: Option<u64>,
    /// Where the function is, in the form of function-curves/curves.csv [default: those that come with fsched]
    #[arg(long, value_name = "FILE")]
    curves: Option<PathBuf>,
    /// The column of times [default: est_time_s]
    #[arg(long, value_name = "NAME", default_value = "est_time_s")]
    column: String,
}

pub(super) fn run(args: &ShowArgs, json: bool) -> anyhow::Result<()> {
    let model = match &args.model {
        None => Model::pretrained(),
        Some(path) => {
            let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            Model::read(&bytes).with_context(|| path.display().to_string())?
        }
    };
    let text = match (&args.function, args.input_size) {
        (Some(function), Some(size)) => prediction(&model, args, function, size, json)?,
        _ => about(&model, json),
    };
    println!("{text}");
    Ok(())
}

fn about(model: &Model, json: bool) -> String {
    let calibration = model.calibration.map(|c| [c.low, c.high]);
    if json {
        return json!({ "version": Model::VERSION, "networks": model.networks.len(), "bytes": model.write().len(),
            "calibration": calibration })
        .to_string();
    }
    format!("version {}, {} networks, {} bytes", Model::VERSION, model.networks.len(), model.write().len())
}

fn prediction(
    model: &Model,
    args: &ShowArgs,
    name: &str,
    input_size: u64,
    json: bool,
) -> anyhow::Result<String> {
    let dataset = curves(args.curves.as_deref(), std::slice::from_ref(&args.column))?;
    let functions = dataset.columns.get(&args.column).context("there is no such column")?;
    let Some(function) = functions.iter().find(|f| f.name == name) else {
        let names: Vec<&str> = functions.iter().map(|f| f.name.as_str()).collect();
        bail!("there is no function {name:?}; there are {}", names.join(", "));
    };
    let startups = startups(functions, name);
    let others = function.curves.iter().filter(|(n, _)| *n != input_size);
    let seen = others.map(|(n, shape)| Seen {
        size: (*n as f64).ln(),
        points: (0..GRID).map(|i| ((i + 1) as f64, shape[i])).collect(),
    });
    let known = Known::new(seen.collect(), &startups);
    let size = (input_size.max(1) as f64).ln();
    let answer = Question::new(&known, size, &[], GOOD_ENOUGH).answer(model, GOOD_ENOUGH, None);
    let truth = function.curves.iter().find(|(n, _)| *n == input_size).map(|(_, shape)| shape);
    if json {
        let seconds = |shape: &[f64; GRID]| shape.map(f64::exp).to_vec();
        return Ok(json!({ "function": name, "input_size": input_size, "ways": answer.need + 1,
            "seconds": seconds(&answer.curve), "low": seconds(&answer.low), "high": seconds(&answer.high),
            "enough": answer.needs, "truth": truth.map(seconds) })
        .to_string());
    }
    let header = ["ways", "seconds", "from", "to", "truth", "enough"];
    let mut below = 0.0;
    let rows = (0..GRID).map(|i| {
        below += answer.needs[i];
        let seconds = |t: f64| format!("{:.4e}", t.exp());
        vec![
            format!("{}{}", i + 1, if i == answer.need { " *" } else { "" }),
            seconds(answer.curve[i]),
            seconds(answer.low[i]),
            seconds(answer.high[i]),
            truth.map_or_else(String::new, |t| seconds(t[i])),
            format!("{:.0} %", 100.0 * below),
        ]
    });
    Ok(format!(
        "{}\n\n* the ways to ask for; enough: how likely that many are within 5 % of the best",
        table::plain(&header, &header, rows.collect())
    ))
}
