//! Whether anything fits anywhere: maxima over halves, quarters, … of the domains.

/// The most that any domain below has free now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Now {
    /// Whether any takes work.
    pub(crate) open: bool,
    /// Whether nothing is placed in any.
    pub(crate) vacant: bool,
    pub(crate) cores: u16,
    pub(crate) memory: u64,
    pub(crate) exclusive: u8,
}

/// The most that any domain below has when it is empty, of workers that are not given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ever {
    /// Whether any worker is left.
    pub(crate) present: bool,
    pub(crate) cores: u16,
    pub(crate) memory: u64,
    pub(crate) exclusive: u8,
}

/// What a node of a [`Tree`] has.
pub(crate) trait Most: Copy + Eq + Default {
    /// What any of both has the most of.
    fn most(&self, other: &Self) -> Self;
}

impl Most for Now {
    fn most(&self, other: &Self) -> Self {
        Self {
            open: self.open || other.open,
            vacant: self.vacant || other.vacant,
            cores: self.cores.max(other.cores),
            memory: self.memory.max(other.memory),
            exclusive: self.exclusive.max(other.exclusive),
        }
    }
}

impl Most for Ever {
    fn most(&self, other: &Self) -> Self {
        Self {
            present: self.present || other.present,
            cores: self.cores.max(other.cores),
            memory: self.memory.max(other.memory),
            exclusive: self.exclusive.max(other.exclusive),
        }
    }
}

/// A complete binary tree: node 1 is the root, nodes `2n` and `2n + 1` are below `n`; leaves come last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree<N> {
    nodes: Vec<N>,
}

impl<N: Most> Tree<N> {
    fn leaves(&self) -> usize {
        self.nodes.len() / 2
    }

    /// Changes one leaf, and what is above it as far as that changes.
    pub(crate) fn set(&mut self, leaf: usize, node: N) {
        if leaf >= self.leaves() {
            self.grow(leaf + 1);
        }
        let mut at = self.leaves() + leaf;
        if self.nodes[at] == node {
            return;
        }
        self.nodes[at] = node;
        while at > 1 {
            at /= 2;
            let most = self.nodes[2 * at].most(&self.nodes[2 * at + 1]);
            if self.nodes[at] == most {
                return;
            }
            self.nodes[at] = most;
        }
    }

    fn grow(&mut self, leaves: usize) {
        let old = self.nodes.split_off(self.leaves());
        let leaves = leaves.next_power_of_two().max(2);
        self.nodes = vec![N::default(); 2 * leaves];
        self.nodes[leaves..leaves + old.len()].copy_from_slice(&old);
        for at in (1..leaves).rev() {
            self.nodes[at] = self.nodes[2 * at].most(&self.nodes[2 * at + 1]);
        }
    }

    /// The first leaf for which `holds`; looks only below nodes that `may` lets pass.
    pub(crate) fn find(&self, may: impl Fn(&N) -> bool, holds: impl Fn(usize) -> bool) -> Option<usize> {
        let leaves = self.leaves();
        let mut at = 1;
        if leaves == 0 {
            return None;
        }
        loop {
            if may(&self.nodes[at]) {
                if at < leaves {
                    at *= 2;
                    continue;
                }
                if holds(at - leaves) {
                    return Some(at - leaves);
                }
            }
            // To the right neighbour of the nearest ancestor that is a left child, or itself.
            at += 1;
            at >>= at.trailing_zeros();
            if at <= 1 {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(cores: u16, memory: u64) -> Now {
        Now { open: true, cores, memory, ..Now::default() }
    }

    proptest! {
        #[test]
        fn it_finds_the_first_that_a_look_at_all_finds(
            changes in proptest::collection::vec((0usize..40, 0u16..8, 0u64..8), 0..80),
            cores in 0u16..9,
            memory in 0u64..9,
        ) {
            let mut tree = Tree::default();
            let mut plain = vec![(0, 0); 40];
            for (leaf, cores, memory) in changes {
                tree.set(leaf, node(cores, memory));
                plain[leaf] = (cores, memory);
            }
            let holds = |leaf: usize| plain.get(leaf).is_some_and(|leaf| leaf.0 >= cores && leaf.1 >= memory && leaf.0 > 0);
            let found = tree.find(|node| node.cores >= cores && node.memory >= memory, holds);
            prop_assert_eq!(found, (0..40).find(|&leaf| holds(leaf)));
        }
    }
}
