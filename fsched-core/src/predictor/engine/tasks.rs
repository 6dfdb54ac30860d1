//! The tasks that predictors are judged by.

use serde::Serialize;

use super::candidates::Known;
use super::dataset::FunctionCurves;
use super::plan;
use super::shape::{FULL, GOOD_ENOUGH, GRID, Point, Seen, Shape};

/// A question: what is known, and the truth.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Which task.
    pub task: Task,
    /// Which function, by its place among the functions.
    pub function: usize,
    /// The input size asked for.
    pub input_size: u64,
    /// Other sizes, rising.
    pub others: Vec<Seen>,
    /// What is known at this size; none or more.
    pub own: Vec<Point>,
    /// How it really is.
    pub truth: Shape,
}

/// What is known, and what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Task {
    /// One size known at ways 1, 2, 4, 7, 10, 14 and 20, no other size.
    A,
    /// Three ways known that the planner chose, no other size.
    B,
    /// A size between sizes known at all ways.
    C,
    /// A size above those.
    D,
    /// A size below those.
    E,
    /// As C, each known size known at five ways that the planner chose.
    F,
    /// An unknown function, one run with the whole cache.
    G,
    /// As C, and the prediction checked by two runs that the planner chose.
    #[serde(rename = "C2")]
    Checked,
}

impl Task {
    /// All, in order.
    pub const ALL: [Self; 8] = [Self::A, Self::B, Self::C, Self::D, Self::E, Self::F, Self::G, Self::Checked];
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
            Self::E => "E",
            Self::F => "F",
            Self::G => "G",
            Self::Checked => "C2",
        };
        f.write_str(name)
    }
}

/// The points of a curve at some ways, rising.
pub fn at_ways(shape: &Shape, ways: &[usize]) -> Vec<Point> {
    let mut ways = ways.to_vec();
    ways.sort_unstable();
    ways.iter().map(|&w| (w as f64, shape[w - 1])).collect()
}

/// Runs the planner on one size until it has enough or has spent `budget`.
pub fn planned(known: &Known, size: f64, shape: &Shape, budget: usize) -> Vec<usize> {
    let mut ways = Vec::new();
    while ways.len() < budget
        && let Some(next) = plan::next(known, size, &at_ways(shape, &ways), GOOD_ENOUGH)
    {
        ways.push(next);
    }
    ways
}

fn seen_whole(size: u64, shape: &Shape) -> Seen {
    Seen { size: (size as f64).ln(), points: (0..GRID).map(|i| ((i + 1) as f64, shape[i])).collect() }
}

/// Every size benchmarked at `budget` ways, the middle one first, each with what the ones before it taught.
pub fn benchmarked(curves: &[(u64, Shape)], startups: &[Shape], budget: usize) -> Vec<Seen> {
    let mut order: Vec<usize> = (0..curves.len()).collect();
    order.sort_by_key(|&i| (2 * i + 1).abs_diff(curves.len()));
    let mut seen: Vec<Seen> = Vec::new();
    for i in order {
        let (n, shape) = &curves[i];
        let size = (*n as f64).ln();
        let mut ways = planned(&Known::new(seen.clone(), startups), size, shape, budget);
        while ways.len() < budget
            && let Some(next) = plan::fill(&at_ways(shape, &ways), 1, 0.0)
        {
            ways.push(next);
        }
        let at = seen.partition_point(|s| s.size < size);
        seen.insert(at, Seen { size, points: at_ways(shape, &ways) });
    }
    seen
}

/// More of what C asks, for training: the size below is missing too. More of D and E taught nothing.
pub fn thinned(function: usize, curves: &FunctionCurves) -> Vec<Trial> {
    let curves = &curves.curves;
    let mut trials = Vec::new();
    let whole: Vec<Seen> = curves.iter().map(|(n, shape)| seen_whole(*n, shape)).collect();
    let mut add = |i: usize, others: Vec<Seen>| {
        let (input_size, truth) = curves[i];
        trials.push(Trial { task: Task::C, function, input_size, others, own: Vec::new(), truth });
    };
    for i in 2..curves.len().saturating_sub(1) {
        let rest = whole.iter().enumerate().filter(|(k, _)| *k != i && *k + 1 != i);
        add(i, rest.map(|(_, seen)| seen.clone()).collect());
    }
    trials
}

/// Predictions for an unseen size, checked: the same trials, each with two or three runs that the planner chose.
pub fn checked(trials: &[Trial], startups: &[Shape]) -> Vec<Trial> {
    let unseen = trials.iter().filter(|t| !t.others.is_empty());
    unseen
        .flat_map(|trial| {
            [2, 3].map(|runs| {
                let known = Known::new(trial.others.clone(), startups);
                let size = (trial.input_size as f64).ln();
                let ways = planned(&known, size, &trial.truth, runs);
                Trial { own: at_ways(&trial.truth, &ways), ..trial.clone() }
            })
        })
        .collect()
}

/// All trials of one function.
pub fn trials(function: usize, curves: &FunctionCurves, startups: &[Shape]) -> Vec<Trial> {
    let curves = &curves.curves;
    let nothing = Known::new(Vec::new(), &[]);
    let mut trials = Vec::new();
    for (i, (n, truth)) in curves.iter().enumerate() {
        let size = (*n as f64).ln();
        let mut add = |task, others, own| {
            trials.push(Trial { task, function, input_size: *n, others, own, truth: *truth });
        };
        add(Task::A, Vec::new(), at_ways(truth, &[1, 2, 4, 7, 10, 14, 20]));
        add(Task::B, Vec::new(), at_ways(truth, &planned(&nothing, size, truth, 3)));
        add(Task::G, Vec::new(), vec![(GRID as f64, truth[FULL])]);
        let rest: Vec<(u64, Shape)> =
            curves.iter().enumerate().filter(|(k, _)| *k != i).map(|(_, c)| *c).collect();
        if rest.is_empty() {
            continue;
        }
        let whole: Vec<Seen> = rest.iter().map(|(n, shape)| seen_whole(*n, shape)).collect();
        let task = if i == 0 {
            Task::E
        } else if i + 1 == curves.len() {
            Task::D
        } else {
            Task::C
        };
        add(task, whole, Vec::new());
        if task == Task::C {
            add(Task::F, benchmarked(&rest, startups, 5), Vec::new());
        }
    }
    trials
}
