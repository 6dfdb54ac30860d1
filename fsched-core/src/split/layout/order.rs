use crate::cache::WayMask;
use crate::split::Room;

/// One mask to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// Whose, by its place in the list.
    pub who: usize,
    /// What is to be written.
    pub mask: WayMask,
}

/// The order in which to write masks so that nobody starves on the way from `from` to `to`, which are disjoint each; `None` is a
/// newcomer that has no mask yet.
///
/// Every mask written is legal in `room`. After every write the masks are disjoint, unless they stand so close that they
/// cannot pass each other: then a new mask is written over others' old ones, which are still as large as a mask has to be, and those
/// go on to theirs at once. Most masks are written once; one that is in the way of another shrinks or goes to a hole first.
pub fn writes(room: Room, from: &[Option<WayMask>], to: &[WayMask]) -> Vec<Write> {
    let mut now = from.to_vec();
    let mut order = Vec::new();
    let mut write = |now: &mut Vec<Option<WayMask>>, who: usize, mask: WayMask| {
        now[who] = Some(mask);
        order.push(Write { who, mask });
    };
    loop {
        let waiting: Vec<usize> = (0..to.len()).filter(|&i| now[i] != Some(to[i])).collect();
        let Some(&first) = waiting.first() else { return order };
        let ready = |i: &&usize| others(&now, **i) & to[**i].bits() == 0;
        // Who only gives ways up goes first, and is always ready.
        let shrinks = |i: &usize| now[*i].is_some_and(|mask| to[*i].bits() & !mask.bits() == 0);
        if let Some(&who) = waiting.iter().filter(ready).max_by_key(|i| shrinks(i)) {
            write(&mut now, who, to[who]);
            continue;
        }
        let asides = waiting.iter().filter_map(|&who| Some((who, step_aside(room, &now, who, to)?)));
        match asides.min_by_key(|(_, aside)| aside.len()) {
            Some((who, aside)) => {
                aside.into_iter().for_each(|(blocker, mask)| write(&mut now, blocker, mask));
                write(&mut now, who, to[who]);
            }
            // Over whom the fewest ways are, for a moment.
            None => {
                let over = |i: &usize| (others(&now, *i) & to[*i].bits()).count_ones();
                let who = waiting.iter().copied().min_by_key(over).unwrap_or(first);
                write(&mut now, who, to[who]);
            }
        }
    }
}

/// What everybody but `who` has.
fn others(now: &[Option<WayMask>], who: usize) -> u32 {
    let others = now.iter().enumerate().filter(|(i, _)| *i != who);
    others.filter_map(|(_, mask)| *mask).fold(0, |all, mask| all | mask.bits())
}

/// Where those in the way of `who` can go: to a smaller part of what they have, else to a hole. `None` where somebody would be left with
/// less than a mask.
fn step_aside(
    room: Room,
    now: &[Option<WayMask>],
    who: usize,
    to: &[WayMask],
) -> Option<Vec<(usize, WayMask)>> {
    let target = to[who].bits();
    let mut taken = now.iter().flatten().fold(target, |all, mask| all | mask.bits());
    let in_the_way = |(i, mask): (usize, &Option<WayMask>)| Some((i, (*mask)?));
    let blockers = now.iter().enumerate().filter_map(in_the_way);
    let blockers = blockers.filter(|(i, mask)| *i != who && mask.overlaps(to[who]));
    let aside = blockers.map(|(i, mask)| {
        let smaller = room.largest_mask(mask.bits() & !target);
        let hole = || room.largest_mask(!taken).and_then(|hole| lowest(hole, mask));
        let aside = smaller.or_else(hole)?;
        taken |= aside.bits();
        Some((i, aside))
    });
    aside.collect()
}

/// As many of the lowest ways of a hole as the mask has.
fn lowest(hole: WayMask, mask: WayMask) -> Option<WayMask> {
    let mut bits = hole.bits();
    while bits.count_ones() > u32::from(mask.ways().get()) {
        bits &= !(1 << bits.ilog2());
    }
    WayMask::new(bits)
}
