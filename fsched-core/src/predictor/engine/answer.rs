//! The curve and its interval, and the fewest units that are good enough, made of all that is known.

use super::candidates::{CANDIDATES, Known, bracket, correct};
use super::features::Case;
use super::model::Model;
use super::network;
use super::shape::{FULL, GRID, Point, Shape, crossing, need, read, settle};
use super::situation::Situation;

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What kind of question it was.
    pub situation: Situation,
    /// How likely each number of units is the fewest that is good enough.
    pub needs: [f64; GRID],
    /// The fewest that are good enough with the caution asked for, counted from 0.
    pub need: usize,
    /// The expected curve. Its own need may be another than `need`, which is cautious.
    pub curve: Shape,
    /// Lower ends of the 90 % intervals.
    pub low: Shape,
    /// Upper ends.
    pub high: Shape,
}

/// A question, looked at: all but the learnt part.
#[derive(Debug, Clone)]
pub struct Question {
    /// What kind it is.
    pub situation: Situation,
    /// What the networks are told.
    pub case: Case,
    /// The curve by physics alone.
    pub base: Shape,
    /// How far the truth may lie from it, in arbitrary but comparable units.
    pub spread: Shape,
    /// How much slower, as a logarithm, the last point known to be too slow is than the best known.
    severity: f64,
    /// What cannot be left: the times of the points around.
    low_limit: Shape,
    high_limit: Shape,
}

/// How much slower with few units than with endless cache, where nothing is known: `1 + 1.5 / (units + 0.3)`.
pub fn prior_slowdown(units: f64) -> f64 {
    1.0 + 1.5 / (units + 0.3)
}

impl Question {
    /// About the logarithm of a size, with `known` of other sizes and `own` points here.
    pub fn new(known: &Known, size: f64, own: &[Point], tolerance: f64) -> Self {
        let situation = Situation::of(known, size, own);
        let asked = if own.len() < 2 && !known.seen.is_empty() { &[] } else { own };
        let case = Case::new(known, size, asked, tolerance);
        let all = &case.candidates;
        let mut base = match situation {
            Situation::Alone => all[5],
            Situation::Unknown => std::array::from_fn(|i| {
                own.first().map_or(0.0, |p| p.1)
                    + (prior_slowdown((i + 1) as f64) / prior_slowdown(GRID as f64)).ln()
            }),
            _ => all[CANDIDATES - 1],
        };
        let distance = known.seen.iter().map(|s| (s.size - size).abs()).fold(f64::INFINITY, f64::min);
        let spread = match situation {
            Situation::Alone => around(own, |left, right| 0.002 + left - right),
            Situation::Unknown => std::array::from_fn(|i| 0.02 + base[i] - base[FULL]),
            _ => {
                let trusted = [2, 3, 5, 6, 7, 8].map(|k| all[k]);
                let floor = 0.01 + if own.len() > 1 { 0.0 } else { 0.03 * distance.min(2.0) };
                std::array::from_fn(|i| {
                    let mean = trusted.iter().map(|t| t[i]).sum::<f64>() / trusted.len() as f64;
                    let variance =
                        trusted.iter().map(|t| (t[i] - mean).powi(2)).sum::<f64>() / trusted.len() as f64;
                    floor + variance.sqrt()
                })
            }
        };
        if !own.is_empty() {
            correct(&mut base, own);
        }
        let mut low_limit = [f64::NEG_INFINITY; GRID];
        let mut high_limit = [f64::INFINITY; GRID];
        for i in 0..GRID {
            let units = (i + 1) as f64;
            for &(at, t) in own {
                if at >= units - 1e-9 {
                    low_limit[i] = low_limit[i].max(t);
                }
                if at <= units + 1e-9 {
                    high_limit[i] = high_limit[i].min(t);
                }
            }
        }
        let (low, _) = bracket(own, tolerance);
        let too_slow = own.iter().find(|p| p.0 == low).zip(own.last());
        let severity = too_slow.map_or(0.0, |(slow, best)| slow.1 - best.1);
        Self { situation, case, base, spread, severity, low_limit, high_limit }
    }

    /// How slow too few units are, as a logarithm: see [`Situation::caution`].
    fn severity(&self, needs: &[f64; GRID]) -> f64 {
        if self.situation != Situation::Above {
            return self.severity;
        }
        let half = 0.5 * (quantile(needs, 0.5) + 1) as f64;
        read(&self.base, half) - self.base[FULL]
    }

    /// The answer; `caution` is the share of cases in which the units chosen should be enough.
    pub fn answer(&self, model: &Model, tolerance: f64, caution: Option<f64>) -> Answer {
        let place = self.situation.place();
        let needs = network::needs(&model.networks, &self.case);
        let caution = caution.unwrap_or_else(|| self.situation.caution(self.severity(&needs)));
        let enough = quantile(&needs, caution);
        let curve = self.base;
        let calibration = model.calibration[place];
        let mut low: Shape = std::array::from_fn(|i| curve[i] - calibration.low * self.spread[i]);
        let mut high: Shape = std::array::from_fn(|i| curve[i] + calibration.high * self.spread[i]);
        let mut curve = expected(&curve, &needs, tolerance);
        for i in 0..GRID {
            curve[i] = curve[i].clamp(self.low_limit[i].min(self.high_limit[i]), self.high_limit[i]);
            low[i] = low[i].min(curve[i]).max(self.low_limit[i]).min(curve[i]);
            high[i] = high[i].max(curve[i]).min(self.high_limit[i]).max(curve[i]);
        }
        Answer { situation: self.situation, needs, need: enough, curve, low, high }
    }
}

/// The fewest units that are enough with this probability, counted from 0.
pub fn quantile(needs: &[f64; GRID], probability: f64) -> usize {
    let mut below = 0.0;
    let enough = |p: &f64| {
        below += p;
        below >= probability - 1e-9
    };
    needs.iter().position(enough).unwrap_or(FULL)
}

/// How much of the way a curve is moved to where the networks see its need, as a power: they and physics count half each.
const TRUST: f64 = 0.5;

/// The mean of a curve's versions that need each number of units, by how likely that is: moved over the logarithm of cache.
///
/// What splits a cache between several wants the time that is expected, not the time if the need is what is most likely: near a
/// cliff they differ.
fn expected(curve: &Shape, needs: &[f64; GRID], tolerance: f64) -> Shape {
    let own = crossing(curve, tolerance);
    let within = need(curve, tolerance) as f64 + 1.0 - own;
    let likely = || needs.iter().enumerate().filter(|(_, p)| **p > UNLIKELY);
    let sum: f64 = likely().map(|(_, p)| p).sum();
    let mut mean = [0.0; GRID];
    for (k, p) in likely() {
        let there = ((k + 1) as f64 - within).max(LEAST_CROSSING);
        let ratio = (own / there).powf(TRUST);
        for (i, t) in mean.iter_mut().enumerate() {
            *t += p / sum * read(curve, (i + 1) as f64 * ratio).exp();
        }
    }
    let mut mean = mean.map(f64::ln);
    settle(&mut mean);
    mean
}

/// What is less likely than this changes no mean.
const UNLIKELY: f64 = 0.005;
/// Where a curve crosses that is good enough with one unit, units.
const LEAST_CROSSING: f64 = 0.7;

/// What the points around each grid point say; nothing where there are none on either side.
fn around(own: &[Point], say: impl Fn(f64, f64) -> f64) -> Shape {
    std::array::from_fn(|i| {
        let units = (i + 1) as f64;
        let after = own.partition_point(|p| p.0 < units - 1e-9);
        match (after.checked_sub(1).map(|i| own[i]), own.get(after)) {
            (Some(left), Some(right)) => say(left.1, right.1),
            // Below the least known: as far as the prior goes.
            (None, Some(right)) if right.0 > units => (prior_slowdown(units) / prior_slowdown(right.0)).ln(),
            _ => 0.002,
        }
    })
}

/// Whether a grid point's time is known, or as good as known: a point there, or points around that differ by less than
/// 0.2 %.
pub fn is_known(own: &[Point], grid_point: usize) -> bool {
    let units = (grid_point + 1) as f64;
    let after = own.partition_point(|p| p.0 < units - 1e-9);
    match (after.checked_sub(1).map(|i| own[i]), own.get(after)) {
        (_, Some(right)) if (right.0 - units).abs() < 1e-9 => true,
        (Some(left), Some(right)) => left.1 - right.1 < 0.002,
        _ => false,
    }
}
