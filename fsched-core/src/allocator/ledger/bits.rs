//! Sets of ways as bits, and the rules for masks made of them.

/// What makes a set of ways a legal mask in one domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// The ways that leases may be made of.
    pub(super) usable: u32,
    /// The fewest ways of a mask.
    pub(super) min: u32,
    /// Whether the ways of a mask have to be neighbours.
    pub(super) contiguous: bool,
}

impl Rules {
    /// The largest part of `set` that could be a mask, were it large enough.
    pub(super) fn largest_part(self, set: u32) -> u32 {
        if self.contiguous { longest_run(set) } else { set }
    }

    /// The largest legal mask within `set`.
    pub(super) fn largest_mask(self, set: u32) -> Option<u32> {
        Some(self.largest_part(set)).filter(|part| part.count_ones() >= self.min)
    }

    /// The parts of `set` that masks have to lie in, one each.
    pub(super) fn parts(self, set: u32) -> impl Iterator<Item = u32> {
        let mut rest = set;
        std::iter::from_fn(move || {
            let part = if self.contiguous { lowest_run(rest) } else { rest };
            rest &= !part;
            (part != 0).then_some(part)
        })
    }

    /// A way of `free` that `mask` could grow by; the highest where there is a choice.
    pub(super) fn next_way(self, mask: u32, free: u32) -> Option<u32> {
        let reach = if self.contiguous { (mask << 1) | (mask >> 1) } else { u32::MAX };
        let candidates = free & reach & !mask;
        candidates.checked_ilog2().map(|bit| 1 << bit)
    }
}

/// `n` neighbouring bits from bit 0 up; `n` is 1 to 32.
pub(super) fn ones(n: u32) -> u32 {
    u32::MAX >> (32 - n)
}

/// The longest row of neighbouring bits; the lowest of several.
pub(super) fn longest_run(set: u32) -> u32 {
    // After j rounds a bit is left where it and the j bits above it were set.
    let (mut starts, mut length) = (set, 1);
    if set == 0 {
        return 0;
    }
    while starts & (starts >> 1) != 0 {
        starts &= starts >> 1;
        length += 1;
    }
    ones(length) << starts.trailing_zeros()
}

/// The lowest row of neighbouring bits.
pub(super) fn lowest_run(set: u32) -> u32 {
    if set == 0 {
        return 0;
    }
    let first = set.trailing_zeros();
    ones((set >> first).trailing_ones()) << first
}

/// The `n` lowest bits of `set`, all where it has fewer.
pub(super) fn lowest(set: u32, n: u32) -> u32 {
    set & !highest(set, set.count_ones().saturating_sub(n))
}

/// The `n` highest bits of `set`, all where it has fewer.
pub(super) fn highest(set: u32, n: u32) -> u32 {
    (n..set.count_ones()).fold(set, |rest, _| rest & (rest - 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_longest_run_is_the_longest(set in any::<u32>()) {
            let naive = (0..32u32)
                .flat_map(|first| (1..=32 - first).map(move |n| ones(n) << first))
                .filter(|run| run & !set == 0)
                .max_by_key(|run| (run.count_ones(), std::cmp::Reverse(*run)));
            prop_assert_eq!(longest_run(set), naive.unwrap_or(0));
        }

        #[test]
        fn lowest_and_highest_take_from_their_ends(set in any::<u32>(), n in 0u32..40) {
            let (low, high) = (lowest(set, n), highest(set, n));
            for part in [low, high] {
                prop_assert_eq!(part & !set, 0);
                prop_assert_eq!(part.count_ones(), n.min(set.count_ones()));
            }
            prop_assert!(u64::from(low) < 1 << (32 - (set & !low).leading_zeros()) || set == low);
            prop_assert_eq!(low | highest(set, set.count_ones() - low.count_ones()), set);
            prop_assert_eq!(low & highest(set, set.count_ones() - low.count_ones()), 0);
            prop_assert!((set & !high).checked_ilog2() < high.checked_ilog2() || high == 0);
        }

        #[test]
        fn parts_are_the_whole(set in any::<u32>(), contiguous: bool) {
            let rules = Rules { usable: u32::MAX, min: 1, contiguous };
            let parts: Vec<u32> = rules.parts(set).collect();
            prop_assert_eq!(parts.iter().fold(0, |all, part| all | part), set);
            prop_assert_eq!(parts.iter().map(|part| part.count_ones()).sum::<u32>(), set.count_ones());
            prop_assert!(parts.len() <= 16);
            prop_assert!(parts.iter().all(|&part| rules.largest_part(part) == part));
        }
    }
}
