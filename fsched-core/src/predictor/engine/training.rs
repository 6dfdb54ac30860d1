//! Learns the networks' weights with candle.
//!
//! The loss is the ranked probability score of the need (Epstein 1969), whose median errs least, and a little of the
//! likelihood. candle asks for the number of threads at every product: run this in a process that has `RAYON_NUM_THREADS` set.

use candle_core::{D, DType, Device, Tensor, Var};

use super::features::FEATURES;
use super::learning::Example;
use super::network::{HIDDEN, Network};
use super::random::Random;
use super::shape::GRID;

/// How to train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recipe {
    /// How often every example is seen.
    pub epochs: usize,
    /// How many examples make a step.
    pub batch: usize,
    /// The first steps' size.
    pub rate: f64,
    /// How much weights shrink by themselves, per step and rate.
    pub decay: f64,
    /// How much the logarithm of the likelihood counts beside the error of the distribution.
    pub likelihood: f64,
    /// How many networks.
    pub networks: usize,
    /// The seed of the first; each next one's is one higher.
    pub seed: u64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self { epochs: 25, batch: 64, rate: 3e-3, decay: 1e-2, likelihood: 0.2, networks: 4, seed: 1 }
    }
}

/// Trains networks; calls `progress` after each epoch. The same examples and seed give the same bits, on the same kind
/// of CPU with the same number of threads.
///
/// # Errors
/// What candle says, and where there is nothing to learn from.
pub fn train(
    examples: &[Example],
    recipe: &Recipe,
    progress: &mut dyn FnMut(),
) -> candle_core::Result<Vec<Network>> {
    if examples.is_empty() {
        candle_core::bail!("there is nothing to learn from");
    }
    (0..recipe.networks as u64)
        .map(|k| train_one(examples, recipe, recipe.seed.wrapping_add(k), progress))
        .collect()
}

fn train_one(
    examples: &[Example],
    recipe: &Recipe,
    seed: u64,
    progress: &mut dyn FnMut(),
) -> candle_core::Result<Network> {
    let device = Device::Cpu;
    let mut random = Random::new(seed);
    let mut var = |rows: usize, columns: usize, scale: f32| {
        let values: Vec<f32> = (0..rows * columns).map(|_| random.signed() * scale).collect();
        Var::from_vec(values, (rows, columns), &device)
    };
    let bound = |n: usize| (3.0 / n as f32).sqrt();
    let vars = [
        var(HIDDEN.0, FEATURES, bound(FEATURES))?,
        var(1, HIDDEN.0, 0.0)?,
        var(HIDDEN.1, HIDDEN.0, bound(HIDDEN.0))?,
        var(1, HIDDEN.1, 0.0)?,
        var(1, HIDDEN.1, bound(HIDDEN.1))?,
    ];
    let count = examples.len();
    let rows: Vec<f32> = examples
        .iter()
        .flat_map(|e| (0..GRID).flat_map(move |g| (0..FEATURES).map(move |f| e.case.features[f][g])))
        .collect();
    let rows = Tensor::from_vec(rows, (count, GRID, FEATURES), &device)?;
    let mask: Vec<f32> =
        examples.iter().flat_map(|e| e.case.possible.map(|p| if p { 0.0 } else { -1e4 })).collect();
    let mask = Tensor::from_vec(mask, (count, GRID), &device)?;
    let enough: Vec<f32> =
        examples.iter().flat_map(|e| (0..GRID).map(|g| f32::from(u8::from(g >= e.need)))).collect();
    let enough = Tensor::from_vec(enough, (count, GRID), &device)?;
    let exact: Vec<f32> =
        examples.iter().flat_map(|e| (0..GRID).map(|g| f32::from(u8::from(g == e.need)))).collect();
    let exact = Tensor::from_vec(exact, (count, GRID), &device)?;
    let triangle: Vec<f32> =
        (0..GRID).flat_map(|i| (0..GRID).map(move |j| f32::from(u8::from(i <= j)))).collect();
    let triangle = Tensor::from_vec(triangle, (GRID, GRID), &device)?;
    // AdamW (Loshchilov & Hutter 2019), the rate falling as half a cosine.
    let mut moments: Vec<(Tensor, Tensor)> =
        vars.iter().map(|v| Ok((v.zeros_like()?, v.zeros_like()?))).collect::<candle_core::Result<_>>()?;
    let mut order: Vec<u32> = (0..count as u32).collect();
    let steps_all = recipe.epochs * count.div_ceil(recipe.batch);
    let mut step = 0usize;
    for _ in 0..recipe.epochs {
        for i in (1..count).rev() {
            order.swap(i, random.below(i + 1));
        }
        for batch in order.chunks(recipe.batch) {
            let index = Tensor::from_slice(batch, batch.len(), &device)?;
            let pick = |t: &Tensor| t.index_select(&index, 0);
            let x = pick(&rows)?.reshape((batch.len() * GRID, FEATURES))?;
            let h = x.matmul(&vars[0].t()?)?.broadcast_add(&vars[1])?.relu()?;
            let h = h.matmul(&vars[2].t()?)?.broadcast_add(&vars[3])?.relu()?;
            let scores = h.matmul(&vars[4].t()?)?.reshape((batch.len(), GRID))?;
            let scores = (scores + pick(&mask)?)?;
            let logs = candle_nn::ops::log_softmax(&scores, D::Minus1)?;
            let cumulated = logs.exp()?.matmul(&triangle)?;
            let crps = (cumulated - pick(&enough)?)?.sqr()?.sum(1)?;
            let nll = (logs * pick(&exact)?)?.sum(1)?.neg()?;
            let loss = (crps + (nll * recipe.likelihood)?)?.mean_all()?;
            let gradients = loss.backward()?;
            step += 1;
            let rate =
                recipe.rate * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps_all as f64).cos());
            for (var, (first, second)) in vars.iter().zip(&mut moments) {
                let Some(gradient) = gradients.get(var.as_tensor()) else { continue };
                let gradient = gradient.detach();
                *first = ((&*first * 0.9)? + (&gradient * 0.1)?)?;
                *second = ((&*second * 0.99)? + (gradient.sqr()? * 0.01)?)?;
                let (fix1, fix2) = (1.0 - 0.9f64.powi(step as i32), 1.0 - 0.99f64.powi(step as i32));
                let direction = ((&*first / fix1)? / ((&*second / fix2)?.sqrt()? + 1e-8)?)?;
                let next = ((var.as_tensor() * (1.0 - rate * recipe.decay))? - (direction * rate)?)?;
                var.set(&next)?;
            }
        }
        progress();
    }
    let read = |v: &Var| v.as_tensor().to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
    let parts = [read(&vars[0])?, read(&vars[1])?, read(&vars[2])?, read(&vars[3])?, read(&vars[4])?];
    Ok(Network::of_parts(&parts))
}
