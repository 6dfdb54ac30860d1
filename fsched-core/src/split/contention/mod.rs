//! How fast runners run that share ways: who holds how much of the cache, and what that costs them.
//!
//! | file | what |
//! | --- | --- |
//! | `demand.rs` | [`Demand`]: what a runner does to a cache, over the cache it holds |
//! | `pool.rs` | ways that all of some runners may fill: how long that takes |
//! | `simulation.rs`, `validation.rs` | the model against a set-associative cache, access by access (tests only) |
//!
//! The model is the footprint equilibrium. A runner that holds `c` bytes fetches `m(c)` bytes per unit of work, so from empty it
//! fills `c` bytes in `F(c) = ∫₀ᶜ dx/m(x)` units of work (Xiang et al., "HOTL", ASPLOS 2013). Under LRU everything in the cache was used
//! within the same time, so runners that share ways hold what they fill in the same time: `F_i(c_i)·t_i = τ`, `Σ c_i = C`. How long a
//! unit of work takes, `t_i = t0_i + m_i(c_i)·L`, depends on what it holds; where curves are cliffs that has several solutions.
//! The one meant is the one reached from everybody running as with the whole cache.
//!
//! How far this can be trusted is in `docs/contention.md`.

mod demand;
mod pool;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod validation;

pub use self::demand::{Demand, DemandError, DemandPoint};
pub(super) use self::pool::Pool;

/// One runner, and the ways it may fill.
#[derive(Debug, Clone, Copy)]
pub struct Sharer<'a> {
    /// What it does to the cache.
    pub demand: &'a Demand,
    /// Its mask; ways may be in several masks. Without any way it holds nothing.
    pub mask: u32,
}

/// How a runner fares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// What it holds, bytes.
    pub cache: f64,
    /// How long a unit of work takes it, seconds; its inverse is the rate at which it runs.
    pub seconds: f64,
    /// What it fetches, bytes per second.
    pub traffic: f64,
}

/// A memory that gets slower when it is busy. An option: no measurement has confirmed its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bandwidth {
    /// The most it delivers, bytes per second.
    pub limit: f64,
    /// What a byte costs a runner when the memory is idle, seconds: a miss's latency over the size of a line.
    pub seconds_per_byte: f64,
}

/// What runners hold of one cache, whose ways are of `way_size` bytes, and how fast they run: by sharer.
///
/// Deterministic, and bounded: at most 24 rounds. Where masks overlap in part, those whose ways together are contested the most
/// are settled first, and the others get what is left of their masks.
pub fn settle(way_size: f64, sharers: &[Sharer<'_>], bandwidth: Option<Bandwidth>) -> Vec<Standing> {
    let demands: Vec<&Demand> = sharers.iter().map(|sharer| sharer.demand).collect();
    let all: u32 = sharers.iter().fold(0, |all, sharer| all | sharer.mask);
    let mut held: Vec<f64> = sharers.iter().map(|s| f64::from(s.mask.count_ones()) * way_size).collect();
    let mut seconds: Vec<f64> =
        demands.iter().zip(&held).map(|(demand, held)| demand.seconds(*held)).collect();
    let mut queueing = 0.0;
    let capacity = f64::from(all.count_ones()) * way_size;
    for round in 0..ROUNDS {
        let next = occupy(way_size, sharers, &seconds);
        let change = next.iter().zip(&held).map(|(next, held)| (next - held).abs()).fold(0.0, f64::max);
        held = next;
        if let Some(memory) = bandwidth {
            let asked: f64 =
                demands.iter().zip(&held).zip(&seconds).map(|((d, held), s)| d.misses(*held) / s).sum();
            let busy = (asked / memory.limit).min(0.95);
            // The mean wait in an M/M/1 queue, in service times; approached by halves so that it settles.
            queueing = 0.5 * (queueing + memory.seconds_per_byte * busy / (1.0 - busy));
        }
        // Cliffs can make two states follow each other for ever: later rounds take the middle.
        let step = if round < ROUNDS / 3 { 1.0 } else { 0.5 };
        for ((demand, held), seconds) in demands.iter().zip(&held).zip(&mut seconds) {
            let target = demand.seconds(*held) + demand.misses(*held) * queueing;
            *seconds += step * (target - *seconds);
        }
        if change <= 1e-4 * capacity && bandwidth.is_none() {
            break;
        }
    }
    let standing = |((demand, cache), seconds): ((&&Demand, f64), f64)| Standing {
        cache,
        seconds,
        traffic: demand.misses(cache) / seconds,
    };
    demands.iter().zip(held).zip(seconds).map(standing).collect()
}

/// The most rounds of a fixed point.
const ROUNDS: u32 = 24;

/// What everybody holds when units of work take `seconds`.
fn occupy(way_size: f64, sharers: &[Sharer<'_>], seconds: &[f64]) -> Vec<f64> {
    let mut held = vec![0.0; sharers.len()];
    let mut free: u32 = sharers.iter().fold(0, |all, sharer| all | sharer.mask);
    let mut open: Vec<usize> = (0..sharers.len()).collect();
    loop {
        // Whose ways are all settled among others holds nothing.
        open.retain(|&i| sharers[i].mask & free != 0);
        // Filling goes on everywhere until some ways are full of what may only be there: those are settled.
        let mut tightest: Option<(f64, u32, Vec<usize>)> = None;
        for union in unions(sharers, &open, free) {
            let inside: Vec<usize> =
                open.iter().copied().filter(|&i| sharers[i].mask & free & !union == 0).collect();
            let members = || inside.iter().map(|&i| (sharers[i].demand, seconds[i]));
            let time = pool::time_to_fill(f64::from(union.count_ones()) * way_size, members());
            if tightest.as_ref().is_none_or(|(least, ..)| time < *least) {
                tightest = Some((time, union, inside));
            }
        }
        let Some((time, union, inside)) = tightest else { return held };
        for &i in &inside {
            held[i] = sharers[i].demand.filled_in(time / seconds[i]);
        }
        fit(&mut held, &inside, f64::from(union.count_ones()) * way_size);
        free &= !union;
        open.retain(|i| !inside.contains(i));
    }
}

/// Rounding must not make more of a cache than there is.
fn fit(held: &mut [f64], inside: &[usize], capacity: f64) {
    let all: f64 = inside.iter().map(|&i| held[i]).sum();
    if all > capacity {
        inside.iter().for_each(|&i| held[i] *= capacity / all);
    }
}

/// The sets of ways that could fill up on their own: each mask, and of those that lie from the first way of some mask to the last of
/// another, all.
fn unions(sharers: &[Sharer<'_>], open: &[usize], free: u32) -> Vec<u32> {
    let masks: Vec<u32> = open.iter().map(|&i| sharers[i].mask & free).collect();
    let mut unions = masks.clone();
    unions.sort_unstable();
    unions.dedup();
    for &low in &masks {
        for &high in &masks {
            let (first, last) = (low.trailing_zeros(), high.checked_ilog2().unwrap_or(0));
            if first > last {
                continue;
            }
            let span = (u32::MAX >> (31 - (last - first))) << first;
            let union = masks.iter().filter(|mask| *mask & !span == 0).fold(0, |all, mask| all | mask);
            if union != 0 && !unions.contains(&union) {
                unions.push(union);
            }
        }
    }
    unions
}
