use crate::split::contention::Demand;

/// The most steps of Newton's method; in practice four or five suffice.
const STEPS: u32 = 64;

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
