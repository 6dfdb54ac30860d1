use super::curves::{Cache, Program};

/// A seeded generator: Steele et al., "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
#[derive(Debug, Clone)]
pub(super) struct Seeded(u64);

impl Seeded {
    /// One for each of several uses of a seed.
    pub(super) fn new(seed: u64, uses: &[u64]) -> Self {
        let mut seeded = Self(seed);
        for used in uses {
            seeded.0 = seeded.next() ^ used;
        }
        seeded
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to, but not, 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// With this mean, distributed exponentially.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// One of these.
    pub(super) fn one<'a>(&mut self, cache: &'a Cache) -> &'a Program {
        &cache.programs[(self.unit() * cache.programs.len() as f64) as usize]
    }

    /// So many of these, each as likely, the same more than once if it happens so.
    pub(super) fn mix<'a>(&mut self, cache: &'a Cache, runners: usize) -> Vec<&'a Program> {
        (0..runners).map(|_| self.one(cache)).collect()
    }
}
