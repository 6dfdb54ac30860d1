//! Who comes first: the least of quarters, sixteenths, … of the domains.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The key of whoever has none.
const NONE: u128 = u128::MAX;
/// How many are below each.
const BELOW: usize = 4;

/// Those with a key, by rising keys, no two of which are equal: whoever is first is known at once, whoever changes is passed up the tree.
///
/// A complete tree with four below each node, in an array: node 0 is the root, nodes `4n + 1` to `4n + 4` are below `n`, leaves come last. Each
/// has the least key below it.
#[derive(Debug, Clone, Default)]
pub(crate) struct First {
    nodes: Vec<u128>,
    /// The node of the first leaf: so many are above the leaves.
    inner: usize,
}

impl First {
    /// Gives one another key, or none; the highest number there is counts as none.
    pub(crate) fn set(&mut self, one: u32, key: Option<u128>) {
        if self.inner + one as usize >= self.nodes.len() {
            self.grow(one as usize + 1);
        }
        let mut node = self.inner + one as usize;
        let nodes = &mut self.nodes[..];
        nodes[node] = key.unwrap_or(NONE);
        while node > 0 {
            node = (node - 1) / BELOW;
            let least = least_below(nodes, node);
            if nodes[node] == least {
                return;
            }
            nodes[node] = least;
        }
    }

    fn grow(&mut self, leaves: usize) {
        let old = self.nodes.split_off(self.inner);
        let mut there = BELOW;
        self.inner = 1;
        while there < leaves {
            (self.inner, there) = (self.inner + there, there * BELOW);
        }
        self.nodes = vec![NONE; self.inner + there];
        self.nodes[self.inner..self.inner + old.len()].copy_from_slice(&old);
        for node in (0..self.inner).rev() {
            self.nodes[node] = least_below(&self.nodes, node);
        }
    }

    /// The lowest key.
    pub(crate) fn least(&self) -> Option<u128> {
        self.nodes.first().copied().filter(|key| *key != NONE)
    }

    /// All, one after the other. Each takes one way down the tree.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        // Subtrees by their least key, beside the next one.
        let mut ahead: BinaryHeap<Reverse<(u128, usize)>> = BinaryHeap::new();
        let mut next = self.least().map(|key| (key, 0));
        std::iter::from_fn(move || {
            let (key, root) = next.take().or_else(|| ahead.pop().map(|Reverse(next)| next))?;
            let leaf = self.down(root, key);
            let mut node = leaf;
            while node > root {
                let above = (node - 1) / BELOW;
                let beside = (below(above)).filter(|&one| one != node && self.nodes[one] != NONE);
                ahead.extend(beside.map(|one| Reverse((self.nodes[one], one))));
                node = above;
            }
            Some((leaf - self.inner) as u32)
        })
    }

    /// The first one: takes no memory.
    pub(crate) fn first(&self) -> Option<u32> {
        Some((self.down(0, self.least()?) - self.inner) as u32)
    }

    /// The leaf below a node that has its key.
    fn down(&self, mut node: usize, key: u128) -> usize {
        while node < self.inner {
            node = below(node).find(|&one| self.nodes[one] == key).expect("a node has a key from below it");
        }
        node
    }

    /// How many have a key.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.nodes.iter().skip(self.inner).filter(|key| **key != NONE).count()
    }
}

/// Those below a node.
fn below(node: usize) -> std::ops::Range<usize> {
    BELOW * node + 1..BELOW * node + 1 + BELOW
}

fn least_below(nodes: &[u128], node: usize) -> u128 {
    match nodes[below(node)] {
        [a, b, c, d] => a.min(b).min(c.min(d)),
        _ => unreachable!("so many are below each"),
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
