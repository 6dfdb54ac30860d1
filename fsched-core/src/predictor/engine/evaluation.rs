//! How well predictors do on functions that were in no training.

use std::collections::BTreeMap;

use serde::Serialize;

use super::answer::{Answer, is_known};
use super::candidates::{Known, bracket};
use super::dataset::{FunctionCurves, family};
use super::learning::question;
use super::model::Model;
use super::random::Random;
use super::rules::rules;
use super::shape::{FULL, GOOD_ENOUGH, GRID, Shape, need};
use super::tasks::{Task, Trial, at_ways, checked, planned, trials};

/// What a method is called that predicts as [`MlpPredictor`](crate::predictor::MlpPredictor) does.
pub const MLP: &str = "mlp";

/// One answer to one trial.
#[derive(Debug, Clone)]
pub struct Result {
    /// The question and the truth.
    pub trial: Trial,
    /// The function's name.
    pub name: String,
    /// What the learnt predictor said.
    pub answer: Answer,
    /// By rule: its curve.
    pub rules: Vec<(&'static str, Shape)>,
}

/// What one method reached on one task. All shares and relative numbers are fractions of one.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Metrics {
    /// How many cases.
    pub cases: usize,
    /// Mean error of the fewest ways within 5 % of the best, ways.
    pub abs_dw_mean: f64,
    /// The worst.
    pub abs_dw_max: f64,
    /// Mean slowdown on the ways chosen, against the whole cache.
    pub slowdown_mean: f64,
    /// Its 95th percentile.
    pub slowdown_p95: f64,
    /// Mean slowdown with perfect knowledge under the same rule.
    pub slowdown_oracle: f64,
    /// Share of cases that are more than 10 % slow.
    pub slow10_share: f64,
    /// Mean of the ways chosen above the need; none where fewer were chosen.
    pub extra_ways: f64,
    /// Mean relative error of times at ways not known.
    pub time_error: f64,
    /// Share of times at ways not known that lie in the 90 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage90: Option<f64>,
    /// Mean width of that interval, relative to the predicted time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width90: Option<f64>,
}

/// What the planner reached, alone on one size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PlanMetrics {
    /// How many sizes.
    pub cases: usize,
    /// Runs until it stopped.
    pub runs_mean: f64,
    /// The most runs.
    pub runs_max: f64,
    /// Mean error of the need.
    pub abs_dw_mean: f64,
}

/// The learnt predictor against a simple rule: mean of the rule's error less the predictor's, ways.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Which task.
    pub task: Task,
    /// Which rule.
    pub rule: &'static str,
    /// By how many ways the rule is worse.
    pub better_by: f64,
    /// Lower end of the 95 % interval, by paired bootstrap over functions.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// One column's results.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The time column.
    pub column: String,
    /// By task, then by method.
    pub tasks: BTreeMap<Task, BTreeMap<&'static str, Metrics>>,
    /// The planner alone: with how many runs it knows the need, and when it stops earlier.
    pub planner: BTreeMap<&'static str, PlanMetrics>,
    /// C, D and F against every simple rule.
    pub comparisons: Vec<Comparison>,
    /// Share of times in their 90 % interval, over A to F.
    pub coverage90: f64,
    /// Mean width of those intervals, relative to the predicted time.
    pub width90: f64,
}

/// Answers to all trials of the functions of which `model` says which model to use; none for those not under test. `startups` are
/// curves of which one may be a function's start-up.
pub fn answers<'m>(
    functions: &[FunctionCurves],
    startups: impl Fn(&FunctionCurves) -> Vec<Shape>,
    model: impl Fn(&FunctionCurves) -> Option<&'m Model>,
) -> Vec<Result> {
    let mut results = Vec::new();
    for (i, function) in functions.iter().enumerate() {
        let Some(model) = model(function) else { continue };
        let startups = startups(function);
        let plain = trials(i, function, &startups);
        let unseen: Vec<Trial> = plain.iter().filter(|t| t.task == Task::C).cloned().collect();
        let twice = checked(&unseen, &startups).into_iter().step_by(2);
        let twice = twice.map(|t| Trial { task: Task::Checked, ..t });
        for trial in plain.into_iter().chain(twice) {
            let answer = question(&trial, &startups).answer(model, GOOD_ENOUGH, None);
            let known = Known::new(trial.others.clone(), &[]);
            let rules = rules(&trial, &known);
            results.push(Result { trial, name: function.name.clone(), answer, rules });
        }
    }
    results
}

/// Judges answers.
pub fn judge(column: &str, functions: &[FunctionCurves], results: &[Result]) -> Report {
    let mut tasks: BTreeMap<Task, BTreeMap<&'static str, Metrics>> = BTreeMap::new();
    for task in Task::ALL {
        let of: Vec<&Result> = results.iter().filter(|r| r.trial.task == task).collect();
        if of.is_empty() {
            continue;
        }
        let methods = tasks.entry(task).or_default();
        let mut learnt = metrics(&of, |r| (r.answer.need, &r.answer.curve));
        let (covered, width) = coverage(of.iter().copied());
        (learnt.coverage90, learnt.width90) = (Some(covered), Some(width));
        methods.insert(MLP, learnt);
        for (k, (rule, _)) in of[0].rules.iter().enumerate() {
            methods.insert(rule, metrics(&of, |r| (need(&r.rules[k].1, GOOD_ENOUGH), &r.rules[k].1)));
        }
    }
    let pooled = results.iter().filter(|r| r.trial.task <= Task::F);
    let (coverage90, width90) = coverage(pooled);
    let comparisons = [Task::C, Task::D, Task::F].iter().flat_map(|&task| compare(task, results)).collect();
    Report {
        column: column.to_owned(),
        tasks,
        planner: plan(functions, results),
        comparisons,
        coverage90,
        width90,
    }
}

fn slowdown(truth: &Shape, ways: usize) -> f64 {
    (truth[ways] - truth[FULL]).exp_m1()
}

fn metrics(of: &[&Result], said: impl Fn(&Result) -> (usize, &Shape)) -> Metrics {
    let mut m = Metrics { cases: of.len(), ..Metrics::default() };
    let mut slowdowns = Vec::new();
    for result in of {
        let truth = &result.trial.truth;
        let (ways, curve) = said(result);
        let right = need(truth, GOOD_ENOUGH);
        let wrong = ways.abs_diff(right) as f64;
        m.abs_dw_mean += wrong;
        m.abs_dw_max = m.abs_dw_max.max(wrong);
        m.slowdown_oracle += slowdown(truth, right);
        slowdowns.push(slowdown(truth, ways));
        m.extra_ways += ways.saturating_sub(right) as f64;
        let unknown: Vec<usize> =
            (0..GRID).filter(|&i| !result.trial.own.iter().any(|p| p.0 == (i + 1) as f64)).collect();
        let error: f64 = unknown.iter().map(|&i| (curve[i] - truth[i]).exp_m1().abs()).sum();
        m.time_error += error / unknown.len().max(1) as f64;
    }
    slowdowns.sort_by(f64::total_cmp);
    let count = of.len().max(1) as f64;
    m.slowdown_mean = slowdowns.iter().sum::<f64>() / count;
    m.slowdown_p95 = slowdowns.get((0.95 * (count - 1.0)).round() as usize).copied().unwrap_or(0.0);
    m.slow10_share = slowdowns.iter().filter(|s| **s > 0.1).count() as f64 / count;
    for sum in [&mut m.abs_dw_mean, &mut m.slowdown_oracle, &mut m.extra_ways, &mut m.time_error] {
        *sum /= count;
    }
    m
}

/// Share of the times not known that lie in their interval, and its mean width relative to the predicted time.
fn coverage<'r>(results: impl Iterator<Item = &'r Result>) -> (f64, f64) {
    let (mut inside, mut all, mut width) = (0usize, 0usize, 0.0);
    for result in results {
        let Answer { low, high, curve, .. } = &result.answer;
        for i in (0..GRID).filter(|&i| !is_known(&result.trial.own, i)) {
            let t = result.trial.truth[i];
            inside += usize::from(low[i] - 1e-9 <= t && t <= high[i] + 1e-9);
            width += (high[i] - curve[i]).exp() - (low[i] - curve[i]).exp();
            all += 1;
        }
    }
    (inside as f64 / all.max(1) as f64, width / all.max(1) as f64)
}

fn plan(functions: &[FunctionCurves], results: &[Result]) -> BTreeMap<&'static str, PlanMetrics> {
    let nothing = Known::new(Vec::new(), &[]);
    let tested = |f: &&FunctionCurves| results.iter().any(|r| r.name == f.name);
    let curves: Vec<&(u64, Shape)> = functions.iter().filter(tested).flat_map(|f| &f.curves).collect();
    let run = |budget: usize| {
        let mut m = PlanMetrics { cases: curves.len(), runs_mean: 0.0, runs_max: 0.0, abs_dw_mean: 0.0 };
        for (size, shape) in &curves {
            let ways = planned(&nothing, (*size as f64).ln(), shape, budget);
            let (_, found) = bracket(&at_ways(shape, &ways), GOOD_ENOUGH);
            m.runs_mean += ways.len() as f64 / curves.len() as f64;
            m.runs_max = m.runs_max.max(ways.len() as f64);
            m.abs_dw_mean += (found - 1.0 - need(shape, GOOD_ENOUGH) as f64).abs() / curves.len() as f64;
        }
        m
    };
    BTreeMap::from([("until_known", run(GRID)), ("at_most_6", run(6)), ("at_most_5", run(5))])
}

/// How many times functions are drawn anew.
const DRAWS: usize = 2000;

fn compare(task: Task, results: &[Result]) -> Vec<Comparison> {
    let of: Vec<&Result> = results.iter().filter(|r| r.trial.task == task).collect();
    let Some(first) = of.first() else { return Vec::new() };
    let one = |k: usize| {
        // By function: how much worse the rule is in all, and in how many cases.
        let mut functions: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for result in &of {
            let right = need(&result.trial.truth, GOOD_ENOUGH);
            let theirs = need(&result.rules[k].1, GOOD_ENOUGH).abs_diff(right) as f64;
            let ours = result.answer.need.abs_diff(right) as f64;
            let sums = functions.entry(&result.name).or_default();
            *sums = (sums.0 + theirs - ours, sums.1 + 1.0);
        }
        let sums: Vec<(f64, f64)> = functions.into_values().collect();
        let mean = |drawn: &mut dyn Iterator<Item = (f64, f64)>| {
            let (worse, cases) = drawn.fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
            worse / cases
        };
        let mut random = Random::new(1);
        let mut means: Vec<f64> =
            (0..DRAWS).map(|_| mean(&mut (0..sums.len()).map(|_| sums[random.below(sums.len())]))).collect();
        means.sort_by(f64::total_cmp);
        Comparison {
            task,
            rule: first.rules[k].0,
            better_by: mean(&mut sums.iter().copied()),
            low: means[DRAWS / 40],
            high: means[DRAWS - 1 - DRAWS / 40],
        }
    };
    (0..first.rules.len()).map(one).collect()
}

/// The families of functions under test.
pub fn families(functions: &[FunctionCurves]) -> Vec<String> {
    let mut families: Vec<String> = functions.iter().map(|f| family(&f.name).to_owned()).collect();
    families.sort();
    families.dedup();
    families
}
