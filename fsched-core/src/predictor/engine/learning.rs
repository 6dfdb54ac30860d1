//! What is learnt from whole curves: the networks, and how far to trust the curves.

use std::collections::BTreeSet;

use super::answer::{Question, is_known};
use super::candidates::Known;
use super::dataset::{Dataset, FunctionCurves, family, startups};
use super::features::Case;
use super::model::{Calibration, Model};
use super::network::Network;
use super::shape::{GOOD_ENOUGH, GRID, need};
use super::situation::Situation;
use super::tasks::{Trial, checked, thinned, trials};

/// A case and the truth about it.
#[derive(Debug, Clone)]
pub struct Example {
    /// What the networks are told.
    pub case: Case,
    /// The fewest units that are good enough, counted from 0.
    pub need: usize,
}

/// The share of times beyond either end of an interval among the functions learnt from. Five percent would be ten together;
/// on functions never seen, of whom there are few, it takes less to hold 90 %.
const OUTSIDE: f64 = 0.038;

/// All that is learnt from, made of some functions.
#[derive(Debug, Clone, Default)]
pub struct Lessons {
    /// By family of the function, for folds.
    pub examples: Vec<(String, Example)>,
    /// By function: situation, and how far the truth was from the curve by physics, in units of the spread.
    errors: Vec<(String, String, Situation, Vec<f64>)>,
}

impl Lessons {
    /// From all functions under all time models of a data set.
    pub fn of(dataset: &Dataset) -> Self {
        let mut lessons = Self::default();
        for functions in dataset.columns.values() {
            for (i, function) in functions.iter().enumerate() {
                lessons.add(functions, i, function);
            }
        }
        lessons
    }

    fn add(&mut self, functions: &[FunctionCurves], place: usize, function: &FunctionCurves) {
        let startups = startups(functions, &function.name);
        let plain = trials(place, function, &startups);
        let checks = checked(&plain, &startups);
        let kin = family(&function.name).to_owned();
        for (trial, judged) in plain
            .into_iter()
            .chain(checks)
            .map(|t| (t, true))
            .chain(thinned(place, function).into_iter().map(|t| (t, false)))
        {
            let question = question(&trial, &startups);
            if judged {
                self.errors.push((
                    kin.clone(),
                    function.name.clone(),
                    question.situation,
                    errors(&question, &trial),
                ));
            }
            let need = need(&trial.truth, GOOD_ENOUGH);
            self.examples.push((kin.clone(), Example { case: question.case, need }));
        }
    }

    /// The families there are.
    pub fn families(&self) -> Vec<String> {
        self.examples.iter().map(|(family, _)| family.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Examples of families that `keep` keeps.
    pub fn examples(&self, keep: impl Fn(&str) -> bool) -> Vec<Example> {
        self.examples.iter().filter(|(family, _)| keep(family)).map(|(_, e)| e.clone()).collect()
    }

    /// A model of networks trained on the families that `keep` keeps.
    pub fn model(&self, networks: Vec<Network>, keep: impl Fn(&str) -> bool) -> Model {
        let calibration = Situation::ALL.map(|situation| self.calibration(situation, &keep));
        Model { networks, calibration }
    }

    /// Split conformal prediction (Lei et al., JASA 2018), every function counting the same: how far below and above 5 % of the
    /// truth lies.
    fn calibration(&self, situation: Situation, keep: &impl Fn(&str) -> bool) -> Calibration {
        let mut weighted: Vec<(f64, f64)> = Vec::new();
        let errors = || self.errors.iter().filter(|(family, _, s, _)| *s == situation && keep(family));
        let names: BTreeSet<&str> = errors().map(|(_, name, ..)| name.as_str()).collect();
        for name in names {
            let own: Vec<f64> =
                errors().filter(|(_, n, ..)| n == name).flat_map(|(.., e)| e.iter().copied()).collect();
            weighted.extend(own.iter().map(|e| (*e, 1.0 / own.len() as f64)));
        }
        weighted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let sum: f64 = weighted.iter().map(|(_, w)| w).sum();
        let quantile = |share: f64| {
            let mut below = 0.0;
            let at = weighted.iter().find(|(_, w)| {
                below += w;
                below >= share * sum
            });
            at.or(weighted.last()).map_or(0.0, |(e, _)| *e)
        };
        Calibration { low: (-quantile(OUTSIDE)).max(0.0), high: quantile(1.0 - OUTSIDE).max(0.0) }
    }
}

/// A trial as a question.
pub fn question(trial: &Trial, startups: &[super::shape::Shape]) -> Question {
    let known = Known::new(trial.others.clone(), startups);
    Question::new(&known, (trial.input_size as f64).ln(), &trial.own, GOOD_ENOUGH)
}

fn errors(question: &Question, trial: &Trial) -> Vec<f64> {
    let unknown = (0..GRID).filter(|&i| !is_known(&trial.own, i));
    unknown.map(|i| (trial.truth[i] - question.base[i]) / question.spread[i]).collect()
}
