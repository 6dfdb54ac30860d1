//! How those who share divide the ways that are not exclusive.

use std::cmp::Ordering;

use super::bits::{Rules, highest};

/// A class of leases that share a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sharer {
    /// Its place in the table of classes.
    pub(super) class: usize,
    /// How many leases it has; at least one.
    pub(super) runners: u32,
    /// How many ways it would like; at least the fewest that a mask may have.
    pub(super) target: u32,
    /// Its ways; none yet: 0.
    pub(super) mask: u32,
    /// The ways that somebody chose for it; 0: none.
    pub(super) arranged: u32,
}

impl Sharer {
    fn ways(&self) -> u32 {
        self.mask.count_ones()
    }

    /// How many ways it would like; what was arranged is neither too few nor too many.
    fn wish(&self) -> u32 {
        if self.arranged == 0 { self.target } else { self.arranged.count_ones() }
    }

    fn has_enough(&self) -> bool {
        self.arranged != 0 || self.ways() >= self.target
    }
}

/// Which of two classes has fewer ways per runner: (ways, runners) each.
pub(super) fn by_ways_per_runner(a: (u32, u32), b: (u32, u32)) -> Ordering {
    (u64::from(a.0) * u64::from(b.1)).cmp(&(u64::from(b.0) * u64::from(a.1)))
}

/// Gives every sharer a legal mask within `room`, which holds at least one.
///
/// Arranged masks are what was arranged, as far as the room has it. Others stay where they are if they can, and grow
/// towards their targets where there is room. If that leaves somebody without a mask, or `evenly` is asked for and somebody
/// lost more than is fair, all are laid out anew, and what was arranged is forgotten. Then masks overlap only where the
/// room cannot hold them side by side.
pub(super) fn lay_out(rules: Rules, room: u32, sharers: &mut [Sharer], evenly: bool) {
    let kept = keep(rules, room, sharers);
    let count = sharers.len() as u32;
    let robbed = |(was, is): (&Sharer, &Sharer)| {
        is.ways() < was.ways() && is.ways() < is.wish().min(room.count_ones() / count)
    };
    match kept {
        Some(kept) if !evenly || !sharers.iter().zip(&kept).any(robbed) => sharers.copy_from_slice(&kept),
        _ => {
            lay_out_anew(rules, room, sharers);
            grow(rules, room, sharers);
        }
    }
}

/// Leaves masks in place as far as `room` allows, then uses what is free; `None` where somebody is left without.
fn keep(rules: Rules, room: u32, sharers: &[Sharer]) -> Option<Vec<Sharer>> {
    let mut kept = sharers.to_vec();
    let mut taken = 0;
    for sharer in kept.iter_mut().filter(|s| s.arranged != 0) {
        match rules.largest_mask(sharer.arranged & room) {
            Some(mask) => sharer.mask = mask,
            None => sharer.arranged = 0,
        }
    }
    for sharer in kept.iter().filter(|s| s.arranged != 0) {
        taken |= sharer.mask;
    }
    for sharer in kept.iter_mut().filter(|s| s.arranged == 0) {
        let mask = rules.largest_mask(sharer.mask & room & !taken);
        sharer.mask = mask.map_or(0, |mask| highest(mask, sharer.target));
        taken |= sharer.mask;
    }
    for sharer in kept.iter_mut().filter(|s| s.mask == 0) {
        sharer.mask = highest(rules.largest_mask(room & !taken)?, sharer.target);
        taken |= sharer.mask;
    }
    grow(rules, room, &mut kept);
    if relocate(rules, room, &mut kept) {
        grow(rules, room, &mut kept);
    }
    Some(kept)
}

/// Way by way, lets the class with the fewest ways per runner grow into free ways beside it.
fn grow(rules: Rules, room: u32, sharers: &mut [Sharer]) {
    let mut free = room & !taken(sharers);
    while free != 0 {
        let neediest = sharers
            .iter_mut()
            .filter(|s| !s.has_enough())
            .filter_map(|s| rules.next_way(s.mask, free).map(|way| (s, way)))
            .min_by(|(a, _), (b, _)| by_ways_per_runner((a.ways(), a.runners), (b.ways(), b.runners)));
        let Some((sharer, way)) = neediest else { break };
        sharer.mask |= way;
        free &= !way;
    }
}

/// Moves those who cannot grow where they are to free ways that hold more; whether any did.
fn relocate(rules: Rules, room: u32, sharers: &mut [Sharer]) -> bool {
    let mut moved = false;
    for i in 0..sharers.len() {
        let free = rules.largest_part(room & !taken(sharers));
        let sharer = &mut sharers[i];
        if !sharer.has_enough() && free.count_ones() > sharer.ways() {
            sharer.mask = highest(free, sharer.target);
            moved = true;
        }
    }
    moved
}

/// Forgets all masks and fills the room from the top: everybody gets the fewest ways, the rest goes where there are the
/// fewest ways per runner. Who finds no room shares the mask of the class with the fewest runners per way.
fn lay_out_anew(rules: Rules, room: u32, sharers: &mut [Sharer]) {
    let mut parts: Vec<(u32, u32)> = rules.parts(room).map(|part| (part, part.count_ones())).collect();
    let mut seats = vec![None; sharers.len()];
    sharers.iter_mut().for_each(|s| (s.mask, s.arranged) = (0, 0));
    for seat in &mut seats {
        let roomiest = (0..parts.len()).rev().max_by_key(|&part| parts[part].1);
        *seat = roomiest.filter(|&part| parts[part].1 >= rules.min);
        if let Some(part) = *seat {
            parts[part].1 -= rules.min;
        }
    }
    for (index, &(part, left)) in parts.iter().enumerate() {
        let seated = || (0..seats.len()).filter(|&i| seats[i] == Some(index));
        fill(rules, part, left, sharers, seated);
    }
    for i in (0..sharers.len()).filter(|&i| seats[i].is_none()) {
        let host = sharers
            .iter()
            .rev()
            .filter(|s| s.mask != 0)
            .map(|host| {
                let runners = sharers.iter().filter(|s| s.mask & host.mask != 0).map(|s| s.runners).sum();
                (host.mask, runners)
            })
            .max_by(|a, b| by_ways_per_runner((a.0.count_ones(), a.1), (b.0.count_ones(), b.1)))
            .expect("the room holds a mask, so the first sharer found a seat");
        sharers[i].mask = highest(host.0, sharers[i].target);
    }
}

/// Divides one part among those seated in it, side by side; `left` is what is left when all have the fewest ways.
fn fill<I: Iterator<Item = usize>>(
    rules: Rules,
    part: u32,
    left: u32,
    sharers: &mut [Sharer],
    seated: impl Fn() -> I,
) {
    let mut ways = vec![rules.min; sharers.len()];
    for _ in 0..left {
        let neediest = seated().filter(|&i| ways[i] < sharers[i].target).min_by(|&a, &b| {
            by_ways_per_runner((ways[a], sharers[a].runners), (ways[b], sharers[b].runners))
        });
        let Some(i) = neediest else { break };
        ways[i] += 1;
    }
    let mut rest = part;
    for i in seated() {
        sharers[i].mask = highest(rest, ways[i]);
        rest &= !sharers[i].mask;
    }
}

fn taken(sharers: &[Sharer]) -> u32 {
    sharers.iter().fold(0, |taken, s| taken | s.mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sharer(class: usize, target: u32, mask: u32) -> Sharer {
        Sharer { class, runners: 1, target, mask, arranged: 0 }
    }

    fn masks(rules: Rules, room: u32, sharers: &[Sharer], evenly: bool) -> Vec<u32> {
        let mut sharers = sharers.to_vec();
        lay_out(rules, room, &mut sharers, evenly);
        sharers.iter().map(|s| s.mask).collect()
    }

    const RULES: Rules = Rules { usable: 0xff, min: 1, contiguous: true };

    #[test]
    fn masks_stay_where_they_are() {
        let sharers = [sharer(1, 2, 0x0c), sharer(2, 2, 0xc0)];
        assert_eq!(masks(RULES, 0xff, &sharers, false), [0x0c, 0xc0]);
    }

    #[test]
    fn who_lost_ways_grows_back() {
        assert_eq!(masks(RULES, 0xff, &[sharer(1, 4, 0x80)], false), [0xf0]);
        // In the middle of others it cannot grow: it goes where it can have more.
        let stuck = [sharer(1, 3, 0x20), sharer(2, 2, 0xc0), sharer(3, 1, 0x10)];
        assert_eq!(masks(RULES, 0xff, &stuck, false), [0x0e, 0xc0, 0x10]);
    }

    #[test]
    fn nobody_is_squeezed_far_below_the_others() {
        // An exclusive lease has taken all but one way of the first.
        let sharers = [sharer(1, 4, 0x0f), sharer(2, 4, 0xf0)];
        assert_eq!(masks(RULES, 0xf8, &sharers, false), [0x08, 0xf0]);
        assert_eq!(masks(RULES, 0xf8, &sharers, true), [0xe0, 0x18]);
    }

    #[test]
    fn what_was_arranged_stays_and_is_squeezed_only_by_the_room() {
        let arranged = |mask| Sharer { arranged: mask, ..sharer(1, 1, mask) };
        assert_eq!(masks(RULES, 0xff, &[arranged(0x3c), sharer(2, 4, 0)], false), [0x3c, 0x03]);
        assert_eq!(masks(RULES, 0xf0, &[Sharer { mask: 0x0c, ..arranged(0x3c) }], false), [0x30]);
        assert_eq!(masks(RULES, 0xff, &[arranged(0x3c), arranged(0x0f)], false), [0x3c, 0x0f], "may overlap");
        assert_eq!(masks(RULES, 0xf0, &[arranged(0x0c)], false), [0x80], "forgotten: nothing of it is left");
    }

    #[test]
    fn masks_overlap_only_where_there_is_no_other_way() {
        let rules = Rules { min: 2, ..RULES };
        let sharers = [sharer(1, 2, 0x03), sharer(2, 2, 0x0c), sharer(3, 2, 0x30)];
        assert_eq!(masks(rules, 0x0f, &sharers, true), [0x0c, 0x03, 0x0c]);
        assert_eq!(masks(rules, 0x3f, &[sharer(1, 2, 0x03), sharer(2, 2, 0x03)], false), [0x03, 0x30]);
    }
}
