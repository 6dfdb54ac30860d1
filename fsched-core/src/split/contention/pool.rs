use crate::split::contention::Demand;

/// The most steps of Newton's method; in practice four or five suffice.
const STEPS: u32 = 64;

/// The most rounds of times and holdings in one pool.
const ROUNDS: u32 = 16;

/// Reckons one pool after the other, without allocating for each.
#[derive(Debug, Clone, Default)]
pub(in crate::split) struct Pool {
    seconds: Vec<f64>,
}

impl Pool {
    /// The slowdowns of runners that share `capacity` bytes, one by one to `visit`: [`settle`](super::settle) for one mask, only less precise.
    pub(in crate::split) fn slowdowns<'d>(
        &mut self,
        capacity: f64,
        demands: impl Iterator<Item = &'d Demand> + Clone,
        mut visit: impl FnMut(usize, f64),
    ) {
        self.seconds.clear();
        self.seconds.extend(demands.clone().map(|demand| demand.seconds(capacity)));
        for round in 0..ROUNDS {
            if self.seconds.len() < 2 {
                break;
            }
            let time = time_to_fill(capacity, demands.clone().zip(self.seconds.iter().copied()));
            let step = if round < ROUNDS / 2 { 1.0 } else { 0.5 };
            let mut change = 0.0_f64;
            for (demand, seconds) in demands.clone().zip(&mut self.seconds) {
                let next = demand.seconds(demand.filled_in(time / *seconds).min(capacity));
                change = change.max((next - *seconds).abs() / next);
                *seconds += step * (next - *seconds);
            }
            if change < 1e-3 {
                break;
            }
        }
        for (i, (demand, seconds)) in demands.zip(&self.seconds).enumerate() {
            visit(i, seconds / demand.alone());
        }
    }
}

/// How long these runners, whose units of work take so many seconds, need to fill `capacity` bytes together; infinite where they never
/// do.
pub(super) fn time_to_fill<'d>(
    capacity: f64,
    members: impl Iterator<Item = (&'d Demand, f64)> + Clone,
) -> f64 {
    let filled = |time: f64| {
        let add = |(all, rate): (f64, f64), (demand, seconds): (&Demand, f64)| {
            let (cache, slope) = demand.filled_and_slope(time / seconds);
            (all + cache, rate + slope / seconds)
        };
        members.clone().fold((0.0, 0.0), add)
    };
    // What is filled rises ever more slowly, so Newton's method, from the left, never goes too far.
    let mut time = 0.0;
    for _ in 0..STEPS {
        let (all, rate) = filled(time);
        let missing = capacity - all;
        if missing <= 1e-6 * capacity {
            return time;
        }
        if rate <= 0.0 {
            return f64::INFINITY;
        }
        time += missing / rate;
    }
    time
}
