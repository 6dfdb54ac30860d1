//! What was found, as tables.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::compare::Comparison;
use super::measure::Numbers;
use super::statistics::Interval;
use super::{html, plot};

type Column = (&'static str, fn(&Numbers) -> f64, usize);

/// The columns of the main table: name, value, digits.
const MAIN: [Column; 8] = [
    ("mean", |n| n.mean, 3),
    ("p50", |n| n.p50, 3),
    ("p99", |n| n.p99, 2),
    ("p99.9", |n| n.p999, 2),
    ("by function", |n| n.function_mean, 3),
    ("queueing", |n| n.queueing, 3),
    ("start", |n| n.start, 3),
    ("cache", |n| n.cache, 3),
];

/// Those of the other one.
const OTHER: [Column; 10] = [
    ("Jain", |n| n.jain, 3),
    ("max/min", |n| n.max_over_min, 2),
    ("ended per s", |n| n.throughput, 1),
    ("unfinished", |n| n.unfinished as f64, 1),
    ("failed", |n| n.failed as f64, 1),
    ("> 1.2×, %", |n| 100.0 * n.late_1_2, 1),
    ("> 1.5×, %", |n| 100.0 * n.late_1_5, 1),
    ("> 2×, %", |n| 100.0 * n.late_2, 1),
    ("ways asked, %", |n| 100.0 * n.ways_asked, 0),
    ("mask changes per s", |n| n.mask_changes, 1),
];

/// Writes everything into a directory.
///
/// # Errors
/// Where something cannot be written.
pub(super) fn write(comparison: &Comparison<'_>, out: &Path) -> anyhow::Result<()> {
    let report = markdown(comparison);
    let keep = |name: &str, text: &str| {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    keep("report.md", &report)?;
    keep("runs.csv", &runs(comparison)?)?;
    keep("quantiles.csv", &quantiles(comparison))?;
    keep("series.csv", &series(comparison))?;
    let pictures = plot::all(comparison).context("cannot draw")?;
    for (name, svg) in &pictures {
        keep(&format!("{name}.svg"), svg)?;
    }
    keep("report.html", &html::page(&comparison.experiment.name, &report, &pictures))?;
    println!("{report}");
    let took = comparison.took.as_secs_f64();
    eprintln!("{} simulations in {took:.0} s on {} threads", comparison.outcomes.len(), comparison.threads);
    Ok(())
}

/// The numbers of one simulation, for people.
pub(super) fn one(numbers: &Numbers) -> String {
    let mut text = format!(
        "{} under {}, seed {}: {} functions, {} calls, load {:.2}\n\nslowdown against alone with the whole cache\n",
        numbers.workload, numbers.policy, numbers.seed, numbers.functions, numbers.calls, numbers.load
    );
    for (name, value, digits) in MAIN.iter().chain(&OTHER) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {name:<20} {:>10.digits$}", value(numbers));
    }
    text.truncate(text.trim_end().len());
    text
}

fn line(text: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn header<'a>(text: &mut String, names: impl IntoIterator<Item = &'a str>) {
    let names: Vec<&str> = names.into_iter().collect();
    line(text, names.iter().map(|name| (*name).to_owned()));
    let rule = names.iter().enumerate().map(|(i, _)| if i == 0 { "---" } else { "---:" }.to_owned());
    line(text, rule);
}

fn markdown(comparison: &Comparison<'_>) -> String {
    let experiment = comparison.experiment;
    let (cluster, functions) = (&experiment.cluster, &experiment.functions);
    let mut text = format!("# {}\n\n", experiment.name);
    let curves =
        functions.curves.as_ref().map_or("the project's own".to_owned(), |path| path.display().to_string());
    let _ = writeln!(
        text,
        "{} workers × {} cores, {} ways of {}, {} classes. Curves: {curves}, column `{}`, assignment seed {}; under every other seed the other half of
the families of functions runs, and the default predictor is trained on the half that does not. {} input sizes of each function were
benchmarked before. Seeds 0 to {}; ± is half a 95 % confidence interval over seeds. The first {} % of the calls do not count. Starting takes {} ms the first
time on a worker, {} ms later. Slowdowns are over the run alone with the whole cache, but over 10 ms at least. Caches are shared as the contention model says, with no
limit on memory bandwidth; granted ways fill with what is missed meanwhile.\n",
        cluster.workers,
        cluster.cores,
        cluster.ways,
        cluster.way_size,
        cluster.classes,
        functions.column,
        functions.assignment,
        experiment.benchmarked,
        experiment.seeds - 1,
        100.0 * experiment.warm_up,
        cluster.cold.as_millis(),
        cluster.warm.as_millis(),
    );
    for policy in &experiment.policies {
        let _ = writeln!(text, "- `{}`: {}", policy.name(), policy.words());
    }
    for (number, workload) in comparison.workloads.iter().enumerate() {
        let about = |value: fn(&Numbers) -> f64| {
            Interval::of(&comparison.of(number, 0).map(|one| value(&one.numbers)).collect::<Vec<_>>()).mean
        };
        let _ = writeln!(
            text,
            "\n## {}\n\n{:.0} functions, {:.0} calls, load {:.2} (means over seeds).\n",
            workload.name,
            about(|n| n.functions as f64),
            about(|n| n.calls as f64),
            about(|n| n.load)
        );
        differences(&mut text, comparison, number);
        text.push('\n');
        table(&mut text, comparison, number, &MAIN);
        text.push('\n');
        table(&mut text, comparison, number, &OTHER);
    }
    text
}

/// How much slower each policy is than the first, pairwise by seed.
fn differences(text: &mut String, comparison: &Comparison<'_>, workload: usize) {
    let policies = &comparison.experiment.policies;
    let first = policies[0].name();
    let names = [
        format!("slower than `{first}` by, %"),
        "mean".to_owned(),
        "p99".to_owned(),
        "by function".to_owned(),
        "seeds slower in the mean".to_owned(),
    ];
    header(text, names.iter().map(String::as_str));
    for (number, policy) in policies.iter().enumerate().skip(1) {
        let by = |value: fn(&Numbers) -> f64| -> Vec<f64> {
            let pairs = comparison.of(workload, number).zip(comparison.of(workload, 0));
            let pairs = pairs.map(|(a, b)| (value(&a.numbers), value(&b.numbers)));
            pairs.map(|(a, b)| 100.0 * (a / b.max(1e-9) - 1.0)).collect()
        };
        let mean = by(|n| n.mean);
        let slower = mean.iter().filter(|difference| **difference > 0.0).count();
        line(
            text,
            [
                format!("`{}`", policy.name()),
                Interval::of(&mean).show(2),
                Interval::of(&by(|n| n.p99)).show(2),
                Interval::of(&by(|n| n.function_mean)).show(2),
                format!("{slower} of {}", mean.len()),
            ],
        );
    }
}

fn table(text: &mut String, comparison: &Comparison<'_>, workload: usize, columns: &[Column]) {
    header(text, std::iter::once("policy").chain(columns.iter().map(|(name, ..)| *name)));
    for (number, policy) in comparison.experiment.policies.iter().enumerate() {
        let cell = |(_, value, digits): &Column| {
            let values: Vec<f64> = comparison.of(workload, number).map(|one| value(&one.numbers)).collect();
            Interval::of(&values).show(*digits)
        };
        line(text, std::iter::once(format!("`{}`", policy.name())).chain(columns.iter().map(cell)));
    }
}

/// One line per simulation, with everything.
fn runs(comparison: &Comparison<'_>) -> anyhow::Result<String> {
    let mut text = String::new();
    for outcome in &comparison.outcomes {
        let serde_json::Value::Object(fields) = serde_json::to_value(&outcome.numbers)? else { continue };
        if text.is_empty() {
            let _ = writeln!(text, "{}", fields.keys().cloned().collect::<Vec<_>>().join(","));
        }
        let cells = fields.values().map(|value| match value {
            serde_json::Value::String(name) => name.replace(',', ";"),
            other => other.to_string(),
        });
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join(","));
    }
    Ok(text)
}

fn each_run(
    comparison: &Comparison<'_>,
    header: &str,
    mut write: impl FnMut(&mut String, &str, usize),
) -> String {
    let mut text = format!("workload,policy,seed,{header}\n");
    for (number, outcome) in comparison.outcomes.iter().enumerate() {
        let Numbers { workload, policy, seed, .. } = &outcome.numbers;
        let run = format!("{},{policy},{seed}", workload.replace(',', ";"));
        write(&mut text, &run, number);
    }
    text
}

fn quantiles(comparison: &Comparison<'_>) -> String {
    each_run(comparison, "share,slowdown", |text, run, number| {
        for (i, slowdown) in comparison.outcomes[number].quantiles.iter().enumerate() {
            let _ = writeln!(text, "{run},{},{slowdown}", (i + 1) as f64 / 200.0);
        }
    })
}

fn series(comparison: &Comparison<'_>) -> String {
    each_run(comparison, "seconds,ways_asked,cores_busy,price", |text, run, number| {
        for look in &comparison.outcomes[number].looks {
            let _ = writeln!(
                text,
                "{run},{:.1},{:.4},{:.4},{:.6}",
                look.at, look.ways_asked, look.cores_busy, look.price
            );
        }
    })
}
