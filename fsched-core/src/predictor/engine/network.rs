//! The learnt part's forward pass, without candle.

use std::ops::Range;
use std::slice::from_ref;

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

    /// The score of every grid point.
    #[inline(always)]
    fn scores(&self, case: &Case, split: &Split) -> [f32; GRID] {
        let mut hidden = [[0.0f32; GRID]; HIDDEN.0];
        layer(&self.first, &self.first_bias, &case.features, &split.same, &split.varying, &mut hidden);
        let mut deeper = [[0.0f32; GRID]; HIDDEN.1];
        layer(&self.second, &self.second_bias, &hidden, &[], from_ref(&(0..HIDDEN.0)), &mut deeper);
        let mut scores = [0.0f32; GRID];
        for (row, &weight) in deeper.iter().zip(&self.last) {
            add(&mut scores, row, weight);
        }
        scores
    }
}

/// A forward pass with the widest vectors that a machine has.
struct Forward<'a> {
    network: &'a Network,
    case: &'a Case,
    split: &'a Split,
}

impl pulp::WithSimd for Forward<'_> {
    type Output = [f32; GRID];

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
        self.network.scores(self.case, self.split)
    }
}

/// How many outputs are worked out at once: each row of the input is loaded once for all, and their sums stay in registers.
const AT_ONCE: usize = 3;

const _: () = assert!(HIDDEN.0.is_multiple_of(AT_ONCE) && HIDDEN.1.is_multiple_of(AT_ONCE), "no output is left over");

/// `relu(W x + b)` for every grid point; grid points lie side by side, so that it is vectors all the way.
#[inline(always)]
fn layer(
    weights: &[f32],
    bias: &[f32],
    input: &[[f32; GRID]],
    same: &[Range<usize>],
    varying: &[Range<usize>],
    output: &mut [[f32; GRID]],
) {
    let width = input.len();
    let outputs = output.chunks_exact_mut(AT_ONCE);
    let parts = weights.chunks_exact(AT_ONCE * width).zip(bias.chunks_exact(AT_ONCE));
    for (out, (weights, bias)) in outputs.zip(parts) {
        let weights: [&[f32]; AT_ONCE] = std::array::from_fn(|k| &weights[k * width..][..width]);
        let mut sums: [[f32; GRID]; AT_ONCE] = std::array::from_fn(|k| {
            let same = same.iter().flat_map(Clone::clone);
            [same.fold(bias[k], |sum, i| sum + weights[k][i] * input[i][0]); GRID]
        });
        for rows in varying {
            for i in rows.clone() {
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    add(sum, &input[i], weights[i]);
                }
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum.map(|sum| sum.max(0.0));
        }
    }
}

/// Which rows of an input say the same of all grid points, and which do not; what says nothing is left out.
#[derive(Debug, Default)]
struct Split {
    same: Vec<Range<usize>>,
    varying: Vec<Range<usize>>,
}

impl Split {
    fn of(input: &[[f32; GRID]]) -> Self {
        let mut split = Self::default();
        for (i, row) in input.iter().enumerate() {
            let first = row[0];
            // Most that differ do so at the end.
            let varies = row[GRID - 1] != first || row.iter().any(|value| *value != first);
            let kind = match (varies, first == 0.0) {
                (true, _) => &mut split.varying,
                (false, true) => continue,
                (false, false) => &mut split.same,
            };
            match kind.last_mut() {
                Some(rows) if rows.end == i => rows.end = i + 1,
                _ => kind.push(i..i + 1),
            }
        }
        split
    }
}

#[inline(always)]
fn add(out: &mut [f32; GRID], row: &[f32; GRID], weight: f32) {
    for (out, value) in out.iter_mut().zip(row) {
        *out += weight * value;
    }
}

/// How likely each grid point is the fewest that are good enough: softmax over those possible, averaged over networks.
pub fn needs(networks: &[Network], case: &Case) -> [f64; GRID] {
    let mut mean = [0.0; GRID];
    let split = Split::of(&case.features);
    let arch = pulp::Arch::new();
    for network in networks {
        let scores = arch.dispatch(Forward { network, case, split: &split });
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
