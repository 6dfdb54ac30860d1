//! Chance, from a seed.

use std::time::Duration;

use fsched_core::random::SplitMix;

/// A seeded generator, the same everywhere, and what a simulation asks of it.
#[derive(Debug, Clone)]
pub struct Random(SplitMix);

impl Random {
    /// Chance that follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(SplitMix::new(seed))
    }

    /// Chance of its own for some purpose: how much others draw does not change it.
    #[must_use]
    pub fn fork(&self, purpose: u64) -> Self {
        Self(self.0.fork(purpose))
    }

    /// 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0.draw()
    }

    /// From 0 up to 1, which it never is.
    pub fn unit(&mut self) -> f64 {
        self.0.unit()
    }

    /// From 0 to `n` − 1; 0 where `n` is 0. (Off by at most `n` / 2⁶⁴ from even.)
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(n)) >> 64) as u64
    }

    /// Whether something happens that happens with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// Exponentially distributed with mean 1.
    pub fn exponential(&mut self) -> f64 {
        self.0.exponential(1.0)
    }

    /// Evenly between nothing and `most`.
    pub fn duration(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.below(u64::try_from(most.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_draws_have_their_mean_and_variance() {
        let mut random = Random::new(1);
        let n = 100_000;
        let draws: Vec<f64> = (0..n).map(|_| random.exponential()).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n - 1);
        // Four standard errors.
        assert!((mean - 1.0).abs() < 4.0 / f64::from(n).sqrt(), "{mean}");
        assert!((variance - 1.0).abs() < 4.0 * (8.0 / f64::from(n)).sqrt(), "{variance}");
    }

    #[test]
    fn forks_do_not_depend_on_how_much_was_drawn_from_others() {
        let random = Random::new(7);
        let (mut a, mut b) = (random.fork(1), random.fork(2));
        assert_ne!(a.draw(), b.draw());
        assert_eq!(random.fork(1).draw(), Random::new(7).fork(1).draw());
    }
}
