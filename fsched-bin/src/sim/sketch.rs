//! Many numbers in little memory.

/// Numbers from 1 up, for quantiles and counts: every one of them as long as there are few, then how many lie in which hundredth of themselves.
#[derive(Debug, Clone, Default)]
pub(super) struct Sketch {
    exact: Vec<f32>,
    /// By the logarithm to the base [`STEP`]; empty: there are few.
    counts: Vec<u64>,
    len: u64,
    sum: f64,
}

/// How many are few.
const FEW: usize = 100_000;
/// Neighbouring steps differ by 1 %, so what is read off is wrong by at most half of that.
const STEP: f64 = 1.01;
/// Reaches up to 10^12; more counts as that.
const STEPS: usize = 2_777;

impl Sketch {
    /// One more; below 1 it counts as 1.
    pub(super) fn add(&mut self, value: f64) {
        let value = value.max(1.0);
        self.len += 1;
        self.sum += value;
        if self.counts.is_empty() {
            self.exact.push(value as f32);
            if self.exact.len() > FEW {
                self.counts = vec![0; STEPS];
                let exact = std::mem::take(&mut self.exact);
                exact.into_iter().for_each(|value| self.count(f64::from(value)));
            }
        } else {
            self.count(value);
        }
    }

    fn count(&mut self, value: f64) {
        let step = (value.ln() / STEP.ln()) as usize;
        self.counts[step.min(STEPS - 1)] += 1;
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Exact.
    pub(super) fn mean(&self) -> f64 {
        self.sum / self.len.max(1) as f64
    }

    /// The share that is above `bound`; where there are many, to within those who lie in the same hundredth as it.
    pub(super) fn above(&self, bound: f64) -> f64 {
        let above = if self.counts.is_empty() {
            self.exact.iter().filter(|value| f64::from(**value) > bound).count() as u64
        } else {
            let first = (bound.max(1.0).ln() / STEP.ln()).ceil() as usize;
            self.counts.iter().skip(first).sum()
        };
        above as f64 / self.len.max(1) as f64
    }

    /// The values below which these shares lie; 0 of nothing.
    pub(super) fn quantiles(&mut self, shares: &[f64]) -> Vec<f64> {
        self.exact.sort_by(f32::total_cmp);
        shares.iter().map(|share| self.quantile(*share)).collect()
    }

    /// See [`quantiles`](Self::quantiles): what is exact is sorted.
    fn quantile(&self, share: f64) -> f64 {
        let place = ((share * self.len as f64).ceil() as u64).clamp(1, self.len.max(1)) - 1;
        if self.counts.is_empty() {
            return self.exact.get(place as usize).map_or(0.0, |value| f64::from(*value));
        }
        let mut before = 0;
        let step = self.counts.iter().position(|count| {
            before += count;
            before > place
        });
        STEP.powf(step.unwrap_or(STEPS) as f64 + 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl Iterator<Item = f64>) -> Sketch {
        let mut sketch = Sketch::default();
        values.for_each(|value| sketch.add(value));
        sketch
    }

    #[test]
    fn few_numbers_are_all_there() {
        let mut sketch = of([4.0, 1.0, 3.0, 2.0, 0.5].into_iter());
        let quantiles = sketch.quantiles(&[0.0, 0.2, 0.5, 0.61, 1.0]);
        assert_eq!(quantiles, [1.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!((sketch.mean(), sketch.above(2.0), sketch.len()), (2.2, 0.4, 5));
        assert_eq!(Sketch::default().quantiles(&[0.5]), [0.0]);
    }

    #[test]
    fn many_numbers_take_no_more_room_and_are_read_off_within_half_a_percent() {
        let n = 3 * FEW;
        let value = |i: usize| 1.0 + (i * 7919 % n) as f64 / 100.0;
        let mut sketch = of((0..n).map(value));
        assert!(sketch.exact.is_empty() && sketch.counts.len() == STEPS);
        let mean = (0..n).map(value).sum::<f64>() / n as f64;
        assert!((sketch.mean() / mean - 1.0).abs() < 1e-9);
        for share in [0.01, 0.5, 0.9, 0.999, 1.0] {
            let (found, exact) = (sketch.quantiles(&[share])[0], 1.0 + share * n as f64 / 100.0);
            assert!((found / exact - 1.0).abs() < 0.0051, "{share}: {found} instead of {exact}");
        }
        let (found, exact) = (sketch.above(1_000.0), 1.0 - 999.0 * 100.0 / n as f64);
        assert!((found - exact).abs() < 0.01 * 1_000.0 * 100.0 / n as f64, "{found} instead of {exact}");
    }
}
