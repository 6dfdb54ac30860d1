//! The learnt part's forward pass, without candle.

use pulp::{Arch, Simd, WithSimd};

use super::features::{Case, FEATURES};
use super::shape::GRID;

/// Width of the first and second hidden layer.
pub const HIDDEN: (usize, usize) = (24, 12);

/// One network: features to a score of every grid point.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Weights of the first layer, by input, then by output.
    pub first: Vec<[f32; HIDDEN.0]>,
    /// Its biases.
    pub first_bias: [f32; HIDDEN.0],
    /// Weights of the second layer.
    pub second: Vec<[f32; HIDDEN.1]>,
    /// Its biases.
    pub second_bias: [f32; HIDDEN.1],
    /// Weights of the last layer, which has one output. A bias would change no answer.
    pub last: [f32; HIDDEN.1],
}

/// The name and the shape of each part of a network, in the order that [`Network::of_parts`] takes them in; matrices by output, then by
/// input.
pub(super) const PARTS: [(&str, &[usize]); 5] = [
    ("first", &[HIDDEN.0, FEATURES]),
    ("first_bias", &[HIDDEN.0]),
    ("second", &[HIDDEN.1, HIDDEN.0]),
    ("second_bias", &[HIDDEN.1]),
    ("last", &[HIDDEN.1]),
];

impl Network {
    /// Of the values of its [`PARTS`], which have these shapes.
    pub(super) fn of_parts(values: &[Vec<f32>; PARTS.len()]) -> Self {
        let [first, first_bias, second, second_bias, last] = values;
        Self {
            first: by_input(first),
            first_bias: std::array::from_fn(|i| first_bias[i]),
            second: by_input(second),
            second_bias: std::array::from_fn(|i| second_bias[i]),
            last: std::array::from_fn(|i| last[i]),
        }
    }

    /// The values of its [`PARTS`].
    pub(super) fn parts(&self) -> [Vec<f32>; PARTS.len()] {
        let Self { first, first_bias, second, second_bias, last } = self;
        [by_output(first), first_bias.to_vec(), by_output(second), second_bias.to_vec(), last.to_vec()]
    }

    /// The score of every grid point.
    #[inline(always)]
    fn scores<S: Simd>(&self, simd: S, features: &Split) -> [f32; GRID] {
        let Split { same, varying } = features;
        let hidden = layer(simd, &self.first, &self.first_bias, same, varying);
        let hidden: [(usize, Row); HIDDEN.0] = std::array::from_fn(|i| (i, hidden[i]));
        let deeper = layer(simd, &self.second, &self.second_bias, &[], &hidden);
        let mut scores = [0.0f32; GRID];
        for (row, &weight) in deeper.iter().zip(&self.last) {
            for (score, value) in scores.iter_mut().zip(row) {
                *score += weight * value;
            }
        }
        scores
    }
}

/// A forward pass with the widest vectors that a machine has.
struct Forward<'a> {
    network: &'a Network,
    features: &'a Split,
}

impl WithSimd for Forward<'_> {
    type Output = [f32; GRID];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        self.network.scores(simd, self.features)
    }
}

/// How many numbers a row takes in memory: whole vectors of up to eight.
const WIDTH: usize = GRID.next_multiple_of(8);

/// A number for every grid point, and nothing behind.
type Row = [f32; WIDTH];

/// How many outputs are worked out at once: each row of the input is loaded once for all, and their sums stay in registers.
const AT_ONCE: usize = 3;

const _: () =
    assert!(HIDDEN.0.is_multiple_of(AT_ONCE) && HIDDEN.1.is_multiple_of(AT_ONCE), "no output is left over");

/// `relu(W x + b)` for every grid point; of the inputs, with their places, some say the same of all.
#[inline(always)]
fn layer<S: Simd, const OUT: usize>(
    simd: S,
    weights: &[[f32; OUT]],
    bias: &[f32; OUT],
    same: &[(usize, f32)],
    varying: &[(usize, Row)],
) -> [Row; OUT] {
    let mut level = *bias;
    for (input, value) in same {
        level.iter_mut().zip(&weights[*input]).for_each(|(level, weight)| *level += weight * value);
    }
    let mut output = [[0.0; WIDTH]; OUT];
    // So many vectors are in a row; their number has to be known for sums to stay in registers.
    match size_of::<Row>() / size_of::<S::f32s>() {
        3 => sums::<S, OUT, 3>(simd, weights, &level, varying, &mut output),
        6 => sums::<S, OUT, 6>(simd, weights, &level, varying, &mut output),
        _ => sums::<S, OUT, WIDTH>(simd, weights, &level, varying, &mut output),
    }
    output
}

/// The part of a layer for inputs that differ by grid point, where a row is so many vectors.
#[inline(always)]
fn sums<S: Simd, const OUT: usize, const VECTORS: usize>(
    simd: S,
    weights: &[[f32; OUT]],
    level: &[f32; OUT],
    varying: &[(usize, Row)],
    output: &mut [Row; OUT],
) {
    for at in (0..OUT).step_by(AT_ONCE) {
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; AT_ONCE];
        for (i, sums) in sums.iter_mut().enumerate() {
            *sums = [simd.splat_f32s(level[at + i]); VECTORS];
        }
        for (input, row) in varying {
            let row = S::as_simd_f32s(row).0;
            for (i, sums) in sums.iter_mut().enumerate() {
                let weight = simd.splat_f32s(weights[*input][at + i]);
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum = simd.add_f32s(*sum, simd.mul_f32s(weight, *value));
                }
            }
        }
        for (out, sums) in output[at..].iter_mut().zip(sums) {
            for (out, sum) in S::as_mut_simd_f32s(out).0.iter_mut().zip(sums) {
                *out = simd.max_f32s(sum, simd.splat_f32s(0.0));
            }
        }
    }
}

fn by_input<const OUT: usize>(by_output: &[f32]) -> Vec<[f32; OUT]> {
    let width = by_output.len() / OUT;
    (0..width).map(|i| std::array::from_fn(|k| by_output[k * width + i])).collect()
}

fn by_output<const OUT: usize>(by_input: &[[f32; OUT]]) -> Vec<f32> {
    (0..OUT).flat_map(|k| by_input.iter().map(move |weights| weights[k])).collect()
}

/// The features, by place: those that say the same of all grid points, and those that do not; what says nothing is left out.
#[derive(Debug, Default)]
struct Split {
    same: Vec<(usize, f32)>,
    varying: Vec<(usize, Row)>,
}

impl Split {
    fn of(features: &[[f32; GRID]; FEATURES]) -> Self {
        let mut split = Self::default();
        for (i, row) in features.iter().enumerate() {
            let first = row[0];
            // Most that differ do so at the end.
            if row[GRID - 1] != first || row.iter().any(|value| *value != first) {
                let mut wide = [0.0; WIDTH];
                wide[..GRID].copy_from_slice(row);
                split.varying.push((i, wide));
            } else if first != 0.0 {
                split.same.push((i, first));
            }
        }
        split
    }
}

/// How likely each grid point is the fewest that are good enough: softmax over those possible, averaged over networks.
pub fn needs(networks: &[Network], case: &Case) -> [f64; GRID] {
    let mut mean = [0.0; GRID];
    let features = &Split::of(&case.features);
    let widest = Arch::new();
    for network in networks {
        let scores = widest.dispatch(Forward { network, features });
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

#[cfg(test)]
mod tests {
    use super::super::candidates::CANDIDATES;
    use super::super::random::Random;
    use super::*;

    fn random(count: usize, random: &mut Random) -> Vec<f32> {
        (0..count).map(|_| random.signed()).collect()
    }

    /// Some features say nothing, some the same of all grid points.
    fn case(numbers: &mut Random) -> Case {
        let mut features = [[0.0; GRID]; FEATURES];
        for (i, row) in features.iter_mut().enumerate() {
            match i % 3 {
                0 => {}
                1 => *row = [numbers.signed(); GRID],
                _ => row.iter_mut().for_each(|value| *value = numbers.signed()),
            }
        }
        Case { features, possible: [true; GRID], candidates: [[0.0; GRID]; CANDIDATES] }
    }

    #[test]
    fn scores_are_what_the_sums_written_out_are() {
        let mut numbers = Random::new(7);
        let parts = PARTS.map(|(_, shape)| random(shape.iter().product(), &mut numbers));
        let network = Network::of_parts(&parts);
        assert_eq!(network.parts(), parts);
        let case = case(&mut numbers);
        let plain = |weights: &[f32], bias: &[f32], input: &[f64]| -> Vec<f64> {
            let rows = weights.chunks(input.len()).zip(bias);
            let sum = |(row, bias): (&[f32], &f32)| {
                f64::from(*bias) + row.iter().zip(input).map(|(w, x)| f64::from(*w) * x).sum::<f64>()
            };
            rows.map(sum).collect()
        };
        let relu =
            |values: Vec<f64>| -> Vec<f64> { values.into_iter().map(|value| value.max(0.0)).collect() };
        let features = Split::of(&case.features);
        let scores = network.scores(pulp::Scalar, &features);
        for (i, score) in scores.iter().enumerate() {
            let input: Vec<f64> = case.features.iter().map(|row| f64::from(row[i])).collect();
            let hidden = relu(plain(&parts[0], &parts[1], &input));
            let deeper = relu(plain(&parts[2], &parts[3], &hidden));
            let expected = plain(&parts[4], &[0.0], &deeper)[0];
            assert!((f64::from(*score) - expected).abs() < 1e-3, "{i}: {score} {expected}");
        }
        let wide = Arch::new().dispatch(Forward { network: &network, features: &features });
        assert_eq!(wide, scores, "however wide the vectors are");
    }
}
