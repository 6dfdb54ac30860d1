//! The learnt part's forward pass, without candle.

use std::ops::Range;

use super::features::{Case, FEATURES};
use super::shape::GRID;

/// Width of the first and second hidden layer.
pub const HIDDEN: (usize, usize) = (24, 12);

/// One network: features to a score of every grid point.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Weights of the first layer, by output, then by input.
    pub first: Vec<f32>,
    /// Its biases.
    pub first_bias: Vec<f32>,
    /// Weights of the second layer.
    pub second: Vec<f32>,
    /// Its biases.
    pub second_bias: Vec<f32>,
    /// Weights of the last layer, which has one output. A bias would change no answer.
    pub last: Vec<f32>,
}

impl Network {
    /// Name, shape and values of each part.
    pub(super) fn parts(&self) -> [(&'static str, Vec<usize>, &[f32]); 5] {
        [
            ("first", vec![HIDDEN.0, FEATURES], &self.first),
            ("first_bias", vec![HIDDEN.0], &self.first_bias),
            ("second", vec![HIDDEN.1, HIDDEN.0], &self.second),
            ("second_bias", vec![HIDDEN.1], &self.second_bias),
            ("last", vec![HIDDEN.1], &self.last),
        ]
    }

    /// The score of every grid point; `runs` are those of the features.
    fn scores(&self, case: &Case, runs: &[Run]) -> [f32; GRID] {
        let mut hidden = [[0.0f32; GRID]; HIDDEN.0];
        layer(&self.first, &self.first_bias, &case.features, runs, &mut hidden);
        let mut deeper = [[0.0f32; GRID]; HIDDEN.1];
        layer(&self.second, &self.second_bias, &hidden, &[(0..HIDDEN.0, Kind::Any)], &mut deeper);
        let mut scores = [0.0f32; GRID];
        for (row, &weight) in deeper.iter().zip(&self.last) {
            add(&mut scores, row, weight);
        }
        scores
    }
}

/// `relu(W x + b)` for every grid point; grid points lie side by side, so that it is vectors all the way.
fn layer(weights: &[f32], bias: &[f32], input: &[[f32; GRID]], runs: &[Run], output: &mut [[f32; GRID]]) {
    let width = input.len();
    let relu = |sums: [f32; GRID]| sums.map(|sum| sum.max(0.0));
    // Two outputs at once: each row of the input is loaded once for both, and both sums stay in registers.
    let pairs = output.chunks_exact_mut(2).zip(weights.chunks_exact(2 * width)).zip(bias.chunks_exact(2));
    for ((out, weights), bias) in pairs {
        let (mut one, mut other) = ([bias[0]; GRID], [bias[1]; GRID]);
        let (weights, more) = weights.split_at(width);
        for (rows, kind) in runs {
            let rows = input[rows.clone()].iter().zip(&weights[rows.clone()]).zip(&more[rows.clone()]);
            match kind {
                Kind::Nothing => {}
                Kind::Same => rows.for_each(|((row, &weight), &another)| {
                    let (weight, another) = (weight * row[0], another * row[0]);
                    one.iter_mut().for_each(|out| *out += weight);
                    other.iter_mut().for_each(|out| *out += another);
                }),
                Kind::Any => rows.for_each(|((row, &weight), &another)| {
                    add(&mut one, row, weight);
                    add(&mut other, row, another);
                }),
            }
        }
        (out[0], out[1]) = (relu(one), relu(other));
    }
}

/// What a row of input says of the grid points: of many the same, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Same,
    Any,
}

impl Kind {
    fn of(row: &[f32; GRID]) -> Self {
        let first = row[0];
        // Most that differ do so at the end.
        if row[GRID - 1] != first || row.iter().any(|value| *value != first) {
            Self::Any
        } else if first == 0.0 {
            Self::Nothing
        } else {
            Self::Same
        }
    }
}

/// Neighbouring rows of a kind.
type Run = (Range<usize>, Kind);

fn runs(input: &[[f32; GRID]]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (i, row) in input.iter().enumerate() {
        let kind = Kind::of(row);
        match runs.last_mut() {
            Some((rows, same)) if *same == kind => rows.end = i + 1,
            _ => runs.push((i..i + 1, kind)),
        }
    }
    runs
}

const _: () =
    assert!(HIDDEN.0.is_multiple_of(2) && HIDDEN.1.is_multiple_of(2), "outputs are worked out in pairs");

fn add(out: &mut [f32; GRID], row: &[f32; GRID], weight: f32) {
    for (out, value) in out.iter_mut().zip(row) {
        *out += weight * value;
    }
}

/// How likely each grid point is the fewest that are good enough: softmax over those possible, averaged over networks.
pub fn needs(networks: &[Network], case: &Case) -> [f64; GRID] {
    let mut mean = [0.0; GRID];
    let runs = runs(&case.features);
    for network in networks {
        let scores = network.scores(case, &runs);
        let possible =
            || scores.iter().zip(case.possible).filter(|(_, possible)| *possible).map(|(s, _)| f64::from(*s));
        let most = possible().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = possible().map(|s| (s - most).exp()).sum();
        for i in 0..GRID {
            if case.possible[i] {
                mean[i] += (f64::from(scores[i]) - most).exp() / sum / networks.len() as f64;
            }
        }
    }
    mean
}
