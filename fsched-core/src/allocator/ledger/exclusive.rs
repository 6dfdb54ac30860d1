//! Where an exclusive mask goes, and how others make way for it.

use std::cmp::Reverse;

use super::bits::{Rules, lowest, ones};

/// The mask for an exclusive lease of `ways`, if there is one that moves no other exclusive lease.
///
/// `room` is what is not exclusive yet, `shared` what sharers have of it. What is left of the room holds at least one
/// legal mask. Ways that nobody has come first, then what leaves the room whole.
pub(super) fn place(rules: Rules, room: u32, shared: u32, ways: u32) -> Option<u32> {
    let leaves_a_mask = |mask: &u32| rules.largest_mask(room & !mask).is_some();
    if !rules.contiguous {
        let free = lowest(room & !shared, ways);
        let mask = free | lowest(room & shared, ways - free.count_ones());
        return Some(mask).filter(|mask| mask.count_ones() == ways).filter(leaves_a_mask);
    }
    (0..=32 - ways)
        .map(|first| ones(ways) << first)
        .filter(|mask| mask & !room == 0)
        .filter(leaves_a_mask)
        .min_by_key(|mask| {
            let left = rules.largest_part(room & !mask).count_ones();
            ((mask & shared).count_ones(), Reverse(left), *mask)
        })
}

/// How exclusive masks make one gap of all the room that there is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compaction {
    /// Ways that are not exclusive before, during and after; a legal mask.
    pub(super) refuge: u32,
    /// Classes and their new masks. Made one after the other, no two exclusive masks ever overlap.
    pub(super) moves: Vec<(usize, u32)>,
}

/// Slides exclusive masks to both ends of a contiguous domain, around the gap where the fewest ways have to move.
///
/// `exclusives` are classes and masks. One of the gaps holds a legal mask: some ways always stay for those who share.
pub(super) fn compact(rules: Rules, mut exclusives: Vec<(usize, u32)>) -> Compaction {
    exclusives.sort_by_key(|&(_, mask)| mask);
    (0..=exclusives.len())
        .filter_map(|gap| around(rules, &exclusives, gap))
        .min_by_key(|compaction| compaction.moves.iter().map(|(_, mask)| mask.count_ones()).sum::<u32>())
        .expect("some gap between exclusive masks holds the ways that stay for those who share")
}

/// What moves when the masks below `gap` go to the lower end and the others to the upper one.
///
/// Every mask moves away from the gap, the outermost first: where it goes nobody is any more.
fn around(rules: Rules, exclusives: &[(usize, u32)], gap: usize) -> Option<Compaction> {
    let (below, above) = exclusives.split_at(gap);
    let (mut low, mut high) =
        (u64::from(rules.usable.trailing_zeros()), 64 - u64::from(rules.usable).leading_zeros() as u64);
    let floor = below.last().map_or(low, |(_, mask)| 64 - u64::from(*mask).leading_zeros() as u64);
    let ceiling = above.first().map_or(high, |(_, mask)| u64::from(mask.trailing_zeros()));
    let refuge = ((1u64 << ceiling) - (1u64 << floor)) as u32;
    if refuge.count_ones() < rules.min {
        return None;
    }
    let mut moves = Vec::new();
    for &(class, mask) in below {
        let slid = ones(mask.count_ones()) << low;
        low += u64::from(mask.count_ones());
        moves.push((class, mask, slid));
    }
    for &(class, mask) in above.iter().rev() {
        high -= u64::from(mask.count_ones());
        moves.push((class, mask, ones(mask.count_ones()) << high));
    }
    let moves =
        moves.into_iter().filter(|(_, from, to)| from != to).map(|(class, _, to)| (class, to)).collect();
    Some(Compaction { refuge, moves })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIGHT: Rules = Rules { usable: 0xff, min: 2, contiguous: true };

    #[test]
    fn free_ways_come_before_those_of_sharers() {
        assert_eq!(place(EIGHT, 0xff, 0x0f, 3), Some(0xe0));
        assert_eq!(place(EIGHT, 0xff, 0, 3), Some(0x07));
    }

    #[test]
    fn a_place_leaves_a_mask_for_those_who_share() {
        // Room 0b1111_0001: three of the upper four would leave one and one.
        assert_eq!(place(EIGHT, 0xf1, 0, 3), None);
        assert_eq!(place(EIGHT, 0xf1, 0, 2), Some(0x30));
        assert_eq!(place(Rules { contiguous: false, ..EIGHT }, 0xf1, 0xf0, 3), Some(0x31));
    }

    #[test]
    fn the_fewest_ways_move() {
        // 1..3 and 6..8 are exclusive. The gap between them is the one to widen: 1..3 moves down by one.
        let compaction = compact(EIGHT, vec![(2, 0xc0), (1, 0x06)]);
        assert_eq!(compaction, Compaction { refuge: 0x38, moves: vec![(1, 0x03)] });
    }

    #[test]
    fn the_outermost_move_first() {
        let rules = Rules { usable: 0xffff, min: 3, contiguous: true };
        let compaction = compact(rules, vec![(1, 0x0002), (2, 0x0018), (3, 0x0200), (4, 0x1000)]);
        assert_eq!(compaction.refuge, 0x1e0);
        assert_eq!(compaction.moves, [(1, 0x1), (2, 0x6), (4, 0x8000), (3, 0x4000)]);
    }
}
