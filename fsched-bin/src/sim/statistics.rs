//! Means, quantiles, confidence intervals.

/// Student's t for 95 %, by degrees of freedom from 1 to 30.
const T_95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// A mean, and half the width of its 95 % confidence interval; none where there is one value only.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    pub(super) mean: f64,
    pub(super) half: Option<f64>,
}

impl Interval {
    /// Of independent values, by Student's t.
    pub(super) fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n.max(1) as f64;
        let half = (n > 1).then(|| {
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
            let t = T_95.get(n - 2).copied().unwrap_or(1.96);
            t * (variance / n as f64).sqrt()
        });
        Self { mean, half }
    }

    /// With so many digits after the point.
    pub(super) fn show(&self, digits: usize) -> String {
        match self.half {
            Some(half) => format!("{:.digits$} ± {:.digits$}", self.mean, half),
            None => format!("{:.digits$}", self.mean),
        }
    }
}

/// Jain's fairness of positive values: 1 where all are the same, 1/n where one has everything.
pub(super) fn jain(values: &[f64]) -> f64 {
    let (sum, squares) = values.iter().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
    if squares > 0.0 { sum * sum / (values.len() as f64 * squares) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_students() {
        // Variance 2.5, 4 degrees of freedom: 2.776 · √(2.5 / 5).
        let interval = Interval::of(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(interval.mean, 3.0);
        assert!((interval.half.unwrap() - 1.963).abs() < 1e-3);
        assert_eq!(Interval::of(&[2.0]), Interval { mean: 2.0, half: None });
    }

    #[test]
    fn fairness_is_jains() {
        assert_eq!(jain(&[2.0, 2.0]), 1.0);
        assert_eq!(jain(&[1.0, 0.0, 0.0, 0.0]), 0.25);
    }
}
