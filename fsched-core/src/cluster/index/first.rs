//! Who comes first: the least of halves, quarters, … of the domains.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The key of whoever has none.
const NONE: u128 = u128::MAX;

/// Those with a key, by rising keys, no two of which are equal: whoever is first is known at once, whoever changes is passed up the tree.
///
/// A complete binary tree, in an array: node 1 is the root, nodes `2n` and `2n + 1` are below `n`, leaves come last. Each has the
/// least key below it.
#[derive(Debug, Clone, Default)]
pub(crate) struct First {
    nodes: Vec<u128>,
}

impl First {
    fn leaves(&self) -> usize {
        self.nodes.len() / 2
    }

    /// Gives one another key, or none; the highest number there is counts as none.
    pub(crate) fn set(&mut self, one: u32, key: Option<u128>) {
        if one as usize >= self.leaves() {
            self.grow(one as usize + 1);
        }
        let mut node = self.leaves() + one as usize;
        let mut least = key.unwrap_or(NONE);
        let nodes = &mut self.nodes[..];
        nodes[node] = least;
        while node > 1 {
            least = least.min(nodes[node ^ 1]);
            node /= 2;
            if nodes[node] == least {
                return;
            }
            nodes[node] = least;
        }
    }

    fn grow(&mut self, leaves: usize) {
        let old = self.nodes.split_off(self.leaves());
        let leaves = leaves.next_power_of_two().max(2);
        self.nodes = vec![NONE; 2 * leaves];
        self.nodes[leaves..leaves + old.len()].copy_from_slice(&old);
        for node in (1..leaves).rev() {
            self.nodes[node] = self.nodes[2 * node].min(self.nodes[2 * node + 1]);
        }
    }

    /// The lowest key.
    pub(crate) fn least(&self) -> Option<u128> {
        self.nodes.get(1).copied().filter(|key| *key != NONE)
    }

    /// All, one after the other. Each takes one way down the tree.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        // Subtrees by their least key, beside the next one.
        let mut ahead: BinaryHeap<Reverse<(u128, usize)>> = BinaryHeap::new();
        let mut next = self.least().map(|key| (key, 1));
        std::iter::from_fn(move || {
            let (key, root) = next.take().or_else(|| ahead.pop().map(|Reverse(next)| next))?;
            let leaf = self.down(root, key);
            let mut node = leaf;
            while node > root {
                let beside = node ^ 1;
                if self.nodes[beside] != NONE {
                    ahead.push(Reverse((self.nodes[beside], beside)));
                }
                node /= 2;
            }
            Some((leaf - self.leaves()) as u32)
        })
    }

    /// The first one: takes no memory.
    pub(crate) fn first(&self) -> Option<u32> {
        Some((self.down(1, self.least()?) - self.leaves()) as u32)
    }

    /// The leaf below a node that has its key.
    fn down(&self, mut node: usize, key: u128) -> usize {
        while node < self.leaves() {
            node *= 2;
            node += usize::from(self.nodes[node] != key);
        }
        node
    }

    /// How many have a key.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.nodes.iter().skip(self.leaves()).filter(|key| **key != NONE).count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_shows_what_sorting_shows(
            changes in proptest::collection::vec((0u32..40, proptest::option::of(0u128..9)), 0..90),
        ) {
            let mut first = First::default();
            let mut plain = [None; 40];
            prop_assert_eq!((first.first(), first.least()), (None, None));
            for (one, key) in changes {
                // No two are equal.
                let key = key.map(|key| key << 8 | u128::from(one));
                first.set(one, key);
                plain[one as usize] = key;
                let keys = plain.iter().zip(0..).filter_map(|(key, one)| Some(((*key)?, one)));
                let mut sorted: Vec<(u128, u32)> = keys.collect();
                sorted.sort_unstable();
                prop_assert_eq!(first.least(), sorted.first().map(|(key, _)| *key));
                prop_assert_eq!(first.first(), sorted.first().map(|(_, one)| *one));
                prop_assert_eq!(first.iter().collect::<Vec<_>>(), sorted.iter().map(|(_, one)| *one).collect::<Vec<_>>());
                prop_assert_eq!(first.len(), sorted.len());
            }
        }
    }
}
