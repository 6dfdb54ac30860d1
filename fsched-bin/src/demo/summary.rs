//! What came out of the demo: a table for people, JSON for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::curves::Source;
use crate::client::answer::{BenchmarkAnswer, RunResult};
use crate::table;

/// One benchmark.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Benchmark {
    function: &'static str,
    input_size: u64,
    seconds: f64,
    runs: usize,
    noise: f64,
    enforced: bool,
    warnings: Vec<String>,
}

impl Benchmark {
    /// From the master's answer; `seconds` is the best median.
    pub(super) fn new(
        function: &'static str,
        input_size: u64,
        seconds: f64,
        answer: &BenchmarkAnswer,
    ) -> Self {
        Self {
            function,
            input_size,
            seconds,
            runs: answer.runs,
            noise: answer.noise,
            enforced: answer.enforced,
            warnings: answer.warnings.clone(),
        }
    }
}

/// One run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// Which function.
    pub(super) function: &'static str,
    /// On how much input.
    pub(super) input_size: u64,
    /// What was known beforehand.
    pub(super) mode: String,
    /// What it was like.
    pub(super) result: RunResult,
}

impl Run {
    /// What it was like, on one line.
    pub(super) fn line(&self) -> String {
        let Self { function, input_size, mode, result } = self;
        format!(
            "{function:<8} {input_size:>9}  {mode:<11}  {:>2} ways ({})  {}  mask {} {}  {}",
            result.cos,
            result.ways_source,
            result.worker,
            result.mask,
            if result.enforced { "enforced" } else { "not enforced" },
            table::seconds(result.execution_time.duration().as_secs_f64())
        )
    }
}

/// All runs of one function at one input size.
#[derive(Debug, Clone, Serialize)]
struct Row {
    function: &'static str,
    input_size: u64,
    /// What was known before the first of them.
    mode: String,
    ways: Vec<u8>,
    ways_source: BTreeSet<String>,
    workers: BTreeSet<String>,
    masks: BTreeSet<String>,
    enforced: bool,
    runs: usize,
    median_seconds: f64,
    /// What was expected of the first of them.
    predicted_seconds: Option<f64>,
}

/// What came out of the demo.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Summary {
    seconds: f64,
    enforced: bool,
    /// Where the curves come from that nothing here could measure.
    curves: Source,
    note: String,
    benchmarks: Vec<Benchmark>,
    rows: Vec<Row>,
}

impl Summary {
    /// Adds it all up; `runs` in the order in which they were asked for.
    pub(super) fn new(curves: Source, benchmarks: Vec<Benchmark>, runs: Vec<Run>, took: Duration) -> Self {
        let mut order = Vec::new();
        let mut groups: BTreeMap<(&str, u64), Vec<Run>> = BTreeMap::new();
        for run in runs {
            let key = (run.function, run.input_size);
            let group = groups.entry(key).or_default();
            if group.is_empty() && !order.contains(&run.function) {
                order.push(run.function);
            }
            group.push(run);
        }
        let mut rows: Vec<Row> = groups.values().filter_map(|group| Row::new(group)).collect();
        rows.sort_by_key(|row| (order.iter().position(|name| *name == row.function), row.input_size));
        let enforced = !rows.is_empty() && rows.iter().all(|row| row.enforced);
        Self { seconds: took.as_secs_f64(), enforced, curves, note: note(enforced, curves), benchmarks, rows }
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers, texts and lists always become JSON")
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let header = [
            "function",
            "input size",
            "mode",
            "ways",
            "from",
            "worker",
            "mask",
            "enforced",
            "runs",
            "time",
            "predicted",
        ];
        let right = ["input size", "ways", "runs", "time", "predicted"];
        let rows = self.rows.iter().map(Row::cells).collect();
        let runs: usize = self.rows.iter().map(|row| row.runs).sum();
        format!(
            "\n{}\n\n{runs} invocations after {} benchmarks, in {} all told.\n\
             Time is the median. Mode and prediction are those of the first run at that size: each run teaches \
             the next.\n{}",
            table::plain(&header, &right, rows),
            self.benchmarks.len(),
            table::seconds(self.seconds),
            self.note
        )
    }
}

impl Row {
    fn new(group: &[Run]) -> Option<Self> {
        let first = group.first()?;
        let results = || group.iter().map(|run| &run.result);
        let mut seconds: Vec<f64> =
            results().map(|result| result.execution_time.duration().as_secs_f64()).collect();
        seconds.sort_by(f64::total_cmp);
        let mut ways: Vec<u8> = results().map(|result| result.cos).collect();
        ways.sort_unstable();
        Some(Self {
            function: first.function,
            input_size: first.input_size,
            mode: first.mode.clone(),
            ways,
            ways_source: results().map(|result| result.ways_source.clone()).collect(),
            workers: results().map(|result| result.worker.clone()).collect(),
            masks: results().map(|result| result.mask.clone()).collect(),
            enforced: results().all(|result| result.enforced),
            runs: group.len(),
            median_seconds: median(&seconds),
            predicted_seconds: first.result.predicted_seconds,
        })
    }

    fn cells(&self) -> Vec<String> {
        let join = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        let ways = match (self.ways.first(), self.ways.last()) {
            (Some(least), Some(most)) if least != most => format!("{least}–{most}"),
            (Some(only), _) => only.to_string(),
            (None, _) => "-".to_owned(),
        };
        vec![
            self.function.to_owned(),
            self.input_size.to_string(),
            self.mode.clone(),
            ways,
            join(&self.ways_source),
            join(&self.workers),
            join(&self.masks),
            if self.enforced { "yes" } else { "no" }.to_owned(),
            self.runs.to_string(),
            table::seconds(self.median_seconds),
            self.predicted_seconds.map_or_else(|| "-".to_owned(), table::seconds),
        ]
    }
}

/// The middle one, or the mean of the two in the middle.
fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// What to make of the masks.
fn note(enforced: bool, curves: Source) -> String {
    if enforced {
        return "The masks were enforced by the hardware of this machine.".to_owned();
    }
    let made = match curves {
        Source::Shipped => "that come with the demo",
        Source::Profiled => "that Valgrind made here",
    };
    format!(
        "Masks are not enforced on this machine: nothing here divides its cache, so ways and masks are bookkeeping. They are \
         chosen from simulated curves {made}, moved to the times of this machine, and not measured."
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(function: &'static str, input_size: u64, mode: &str, ways: u8, millis: u32) -> Run {
        let result = json!({
            "cos": ways, "exit_status": 0, "ending": "exited", "worker": "w-1", "mask": format!("{:x}", (1 << ways) - 1),
            "enforced": false, "ways_source": "prior", "predicted_seconds": 0.05,
            "execution_time": {"secs": 0, "nanos": millis * 1_000_000}
        });
        Run { function, input_size, mode: mode.to_owned(), result: serde_json::from_value(result).unwrap() }
    }

    #[test]
    fn runs_add_up_to_a_row_per_function_and_size() {
        let runs = vec![
            run("spin", 7, "BENCHMARKED", 1, 30),
            run("lookup", 4096, "ASSISTED", 4, 60),
            run("lookup", 1024, "BENCHMARKED", 3, 20),
            run("lookup", 4096, "BENCHMARKED", 6, 40),
        ];
        let summary = Summary::new(Source::Shipped, Vec::new(), runs, Duration::from_millis(2500));
        let text = summary.text();
        let table: Vec<&str> = text.trim_start().lines().take(4).collect();
        assert_eq!(
            table,
            [
                "FUNCTION  INPUT SIZE  MODE         WAYS  FROM   WORKER  MASK  ENFORCED  RUNS     TIME  PREDICTED",
                "spin               7  BENCHMARKED     1  prior  w-1     1     no           1  30.0 ms    50.0 ms",
                "lookup          1024  BENCHMARKED     3  prior  w-1     7     no           1  20.0 ms    50.0 ms",
                "lookup          4096  ASSISTED      4–6  prior  w-1     3f f  no           2  50.0 ms    50.0 ms",
            ]
        );
        assert!(text.contains("4 invocations after 0 benchmarks, in 2.50 s"), "{text}");
        assert!(text.contains("Masks are not enforced on this machine"), "{text}");
    }

    #[test]
    fn a_run_is_shown_on_one_line() {
        let line = run("spin", 7, "ASSISTED", 4, 30).line();
        assert_eq!(
            line,
            "spin             7  ASSISTED      4 ways (prior)  w-1  mask f not enforced  30.0 ms"
        );
    }

    #[test]
    fn programs_get_the_same_numbers() {
        let summary = Summary::new(
            Source::Shipped,
            Vec::new(),
            vec![run("spin", 7, "ASSISTED", 2, 30)],
            Duration::ZERO,
        );
        let json: serde_json::Value = serde_json::from_str(&summary.json()).unwrap();
        assert_eq!(json["rows"][0]["median_seconds"], 0.03);
        assert_eq!(json["rows"][0]["masks"], json!(["3"]));
        assert_eq!(json["enforced"], false);
    }

    #[test]
    fn masks_count_as_enforced_only_where_all_were() {
        assert!(!Summary::new(Source::Shipped, Vec::new(), Vec::new(), Duration::ZERO).enforced);
        let mut both = vec![run("spin", 7, "ASSISTED", 2, 30), run("spin", 7, "ASSISTED", 2, 30)];
        both[0].result.enforced = true;
        assert!(!Summary::new(Source::Shipped, Vec::new(), both.clone(), Duration::ZERO).enforced);
        both[1].result.enforced = true;
        assert!(Summary::new(Source::Shipped, Vec::new(), both, Duration::ZERO).enforced);
    }
}
