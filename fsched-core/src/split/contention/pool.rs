use crate::split::contention::Demand;

/// The most steps of Newton's method; in practice four or five suffice.
const STEPS: u32 = 64;

/// The most rounds of times and holdings in one pool; in practice three or four suffice.
const ROUNDS: u32 = 10;

/// Reckons one pool after the other, without allocating for each. Fastest where pools of the same runners come in order of their size.
#[derive(Debug, Clone, Default)]
pub(in crate::split) struct Pool {
    slots: Vec<Slot>,
    time: f64,
}

/// One runner of a pool.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    seconds: f64,
    /// Where in its demand's table it was found last.
    hint: usize,
    /// What it holds by then, bytes.
    held: f64,
}

impl Pool {
    /// Forgets the runners of the pools before.
    pub(in crate::split) fn begin(&mut self, runners: usize) {
        self.slots.clear();
        self.slots.resize(runners, Slot::default());
        self.time = 0.0;
    }

    /// The slowdowns of the runners that were begun with, sharing `capacity` bytes, one by one to `visit`: [`settle`](super::settle) for one
    /// mask, only less precise (a part in 500).
    pub(in crate::split) fn slowdowns<'d>(
        &mut self,
        capacity: f64,
        demands: impl Iterator<Item = &'d Demand> + Clone,
        mut visit: impl FnMut(usize, f64),
    ) {
        for (slot, demand) in self.slots.iter_mut().zip(demands.clone()) {
            slot.seconds = demand.seconds(capacity);
        }
        for round in 0..ROUNDS {
            if self.slots.len() < 2 {
                break;
            }
            self.fill(capacity, demands.clone());
            let step = if round < ROUNDS / 2 { 1.0 } else { 0.5 };
            let mut change = 0.0_f64;
            for (demand, slot) in demands.clone().zip(&mut self.slots) {
                let next = demand.seconds(slot.held.min(capacity));
                change = change.max((next - slot.seconds).abs() / next);
                slot.seconds += step * (next - slot.seconds);
            }
            if change < 2e-3 {
                break;
            }
        }
        for (i, (demand, slot)) in demands.zip(&self.slots).enumerate() {
            visit(i, slot.seconds / demand.alone());
        }
    }

    /// [`time_to_fill`], from the time found last, and what each holds then.
    fn fill<'d>(&mut self, capacity: f64, demands: impl Iterator<Item = &'d Demand> + Clone) {
        if !self.time.is_finite() {
            self.time = 0.0;
        }
        for _ in 0..STEPS {
            let (mut missing, mut rate) = (capacity, 0.0);
            for (demand, slot) in demands.clone().zip(&mut self.slots) {
                let (held, slope) = demand.filled_near(self.time / slot.seconds, &mut slot.hint);
                slot.held = held;
                missing -= held;
                rate += slope / slot.seconds;
            }
            if missing.abs() <= 5e-4 * capacity {
                return;
            }
            if rate <= 0.0 {
                self.time = if missing > 0.0 { f64::INFINITY } else { 0.0 };
                if missing > 0.0 {
                    return;
                }
                continue;
            }
            // From the right it goes too far to the left, and then never again too far.
            self.time = (self.time + missing / rate).max(0.0);
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
