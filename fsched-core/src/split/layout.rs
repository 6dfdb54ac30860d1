//! From sizes to masks.
//!
//! | file | what |
//! | --- | --- |
//! | `layout/order.rs` | [`writes`]: in which order masks are written |

mod order;

use std::cmp::Reverse;

pub use self::order::{Write, writes};
use crate::cache::WayMask;
use crate::split::Room;

/// A mask that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// How many ways; at least the fewest of a mask.
    pub ways: u8,
    /// The mask it has now; `None` for a newcomer.
    pub now: Option<WayMask>,
}

/// How many placements [`lay_out`] tries at most before it takes the best it has found.
const BUDGET: u32 = 20_000;

/// Disjoint legal masks of the sizes wanted, with as many as possible exactly where they are; of those, with as many ways as
/// possible. Who has to move goes where it keeps the most of what it had.
///
/// `None` where the sizes do not fit: what [`solve`](crate::split::solve) answers always does. Which masks stay is searched exhaustively, best
/// first, for as long as 20,000 placements last, which is about a millisecond; of more than 16 that could stay, the first 16.
pub fn lay_out(room: Room, wanted: &[Wanted]) -> Option<Vec<WayMask>> {
    let total: u32 = wanted.iter().map(|w| u32::from(w.ways)).sum();
    if wanted.iter().any(|w| w.ways < room.min()) || total > u32::from(room.ways()) {
        return None;
    }
    if !room.is_contiguous() {
        return anywhere(room, wanted);
    }
    let stays = |w: &Wanted| w.now.filter(|mask| mask.ways().get() == w.ways && room.allows(*mask));
    let candidates: Vec<(usize, WayMask)> =
        wanted.iter().enumerate().filter_map(|(i, w)| Some((i, stays(w)?))).take(16).collect();
    let mut budget = BUDGET;
    for stay in best_first(&candidates) {
        let chosen =
            || candidates.iter().enumerate().filter(move |(k, _)| stay >> k & 1 == 1).map(|(_, c)| *c);
        let mut masks = vec![None; wanted.len()];
        chosen().for_each(|(i, mask)| masks[i] = Some(mask));
        let left = room.without(chosen().fold(0, |all, (_, mask)| all | mask.bits()));
        if fill(left, wanted, &mut masks, &mut budget) {
            return masks.into_iter().collect();
        }
        if budget == 0 {
            break;
        }
    }
    // Nobody in place: the budget must not decide whether there is a layout at all.
    let mut masks = vec![None; wanted.len()];
    fill(room, wanted, &mut masks, &mut u32::MAX.clone()).then(|| masks.into_iter().collect())?
}

/// The sets of candidates that are disjoint, as bits: the largest sets first, then those with the most ways.
fn best_first(candidates: &[(usize, WayMask)]) -> impl Iterator<Item = u32> {
    let taken = |set: u32| {
        let masks = candidates.iter().enumerate().filter(move |(k, _)| set >> k & 1 == 1);
        masks
            .map(|(_, (_, mask))| mask.bits())
            .try_fold(0, |all, bits| (all & bits == 0).then_some(all | bits))
    };
    let of_size = move |size: u32| {
        let all = sets_of_size(size).take_while(|set| set >> candidates.len() == 0);
        let mut sets: Vec<(u32, u32)> = all.filter_map(|set| Some((taken(set)?.count_ones(), set))).collect();
        sets.sort_by_key(|(ways, set)| (Reverse(*ways), *set));
        sets.into_iter().map(|(_, set)| set)
    };
    (0..=candidates.len() as u32).rev().flat_map(of_size)
}

/// All sets of so many bits, rising, the empty one alone: Gosper's hack (HAKMEM item 175).
fn sets_of_size(size: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some((1_u32 << size) - 1), |&set| {
        let lowest = set & set.wrapping_neg();
        let ripple = set.checked_add(lowest).filter(|_| set != 0)?;
        Some(ripple | ((set ^ ripple) / lowest) >> 2)
    })
}

/// Gives everybody without a mask one in what is left; `false` where that is not possible, or the budget is spent.
fn fill(left: Room, wanted: &[Wanted], masks: &mut [Option<WayMask>], budget: &mut u32) -> bool {
    if masks.iter().all(Option::is_some) {
        return true;
    }
    let gaps: Vec<Gap> = left.pieces().iter().map(|&bits| Gap { bits, used: 0 }).collect();
    let mut movers: Vec<usize> = (0..wanted.len()).filter(|&i| masks[i].is_none()).collect();
    // Large ones first: they are the hardest to place.
    movers.sort_by_key(|&i| Reverse(wanted[i].ways));
    let mut search = Search { wanted, movers: &movers, gaps, at: vec![0; movers.len()], budget };
    if !search.place(0) {
        return false;
    }
    let Search { gaps, at, .. } = search;
    for (g, gap) in gaps.iter().enumerate() {
        let mut inside: Vec<usize> =
            movers.iter().zip(&at).filter(|(_, at)| **at == g).map(|(&mover, _)| mover).collect();
        // In the order in which they lie now: who only grows or shrinks keeps most of its ways so.
        inside.sort_by_key(|&i| wanted[i].now.map_or(u32::MAX, |mask| middle(mask.bits())));
        let spare = gap.bits.count_ones() - u32::from(gap.used);
        line_up(gap.bits.trailing_zeros(), spare, &inside, wanted, masks);
    }
    true
}

#[derive(Debug, Clone, Copy)]
struct Gap {
    bits: u32,
    used: u8,
}

struct Search<'a> {
    wanted: &'a [Wanted],
    movers: &'a [usize],
    gaps: Vec<Gap>,
    /// The gap of each mover.
    at: Vec<usize>,
    budget: &'a mut u32,
}

impl Search<'_> {
    /// Finds gaps for the movers from `next` on.
    fn place(&mut self, next: usize) -> bool {
        let Some(&mover) = self.movers.get(next) else { return true };
        let Wanted { ways, now } = self.wanted[mover];
        let kept = |gap: &Gap| now.map_or(0, |mask| (mask.bits() & gap.bits).count_ones());
        let mut order: Vec<usize> = (0..self.gaps.len()).collect();
        order.sort_by_key(|&g| Reverse(kept(&self.gaps[g])));
        for g in order {
            if *self.budget == 0 {
                return false;
            }
            if self.gaps[g].bits.count_ones() >= u32::from(self.gaps[g].used + ways) {
                *self.budget -= 1;
                self.gaps[g].used += ways;
                self.at[next] = g;
                if self.place(next + 1) {
                    return true;
                }
                self.gaps[g].used -= ways;
            }
        }
        false
    }
}

/// Puts masks side by side in a gap from bit `first` on, each as near to where it is as those after it allow.
fn line_up(first: u32, spare: u32, inside: &[usize], wanted: &[Wanted], masks: &mut [Option<WayMask>]) {
    let (mut next, mut spare) = (first, spare);
    for &i in inside {
        let ways = u32::from(wanted[i].ways);
        // Up to `spare` ways may be skipped; the first that keeps the most is taken.
        let at = |skip: u32| WayMask::contiguous((next + skip) as u8, wanted_ways(&wanted[i]));
        let kept = |skip: u32| match (at(skip), wanted[i].now) {
            (Some(mask), Some(now)) => (mask.bits() & now.bits()).count_ones(),
            _ => 0,
        };
        let skip = (0..=spare).max_by_key(|&skip| (kept(skip), Reverse(skip))).unwrap_or(0);
        masks[i] = at(skip);
        next += skip + ways;
        spare -= skip;
    }
}

/// Where masks may have gaps, everybody keeps what it can, and takes what is left.
fn anywhere(room: Room, wanted: &[Wanted]) -> Option<Vec<WayMask>> {
    let mut free = room.bits();
    let mut bits = vec![0_u32; wanted.len()];
    let unchanged = |w: &Wanted| w.now.is_some_and(|mask| mask.ways().get() == w.ways);
    // Who can stay as it is comes first, so that an overlap costs somebody who changes anyway.
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&i| Reverse(unchanged(&wanted[i])));
    for &i in &order {
        let mut keep = wanted[i].now.map_or(0, WayMask::bits) & free;
        while keep.count_ones() > u32::from(wanted[i].ways) {
            keep &= keep - 1;
        }
        bits[i] = keep;
        free &= !keep;
    }
    for (bits, w) in bits.iter_mut().zip(wanted) {
        while bits.count_ones() < u32::from(w.ways) {
            let way = free & free.wrapping_neg();
            *bits |= way;
            free &= !way;
        }
    }
    bits.into_iter().map(WayMask::new).collect()
}

fn wanted_ways(wanted: &Wanted) -> crate::cache::Ways {
    crate::cache::Ways::clamped(wanted.ways)
}

/// Twice the middle of a mask.
fn middle(bits: u32) -> u32 {
    bits.trailing_zeros() + bits.checked_ilog2().unwrap_or(0)
}
