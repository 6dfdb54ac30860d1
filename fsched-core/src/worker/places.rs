//! Where things lie in a list: a table by hash.

/// Places in a list, found by the hash of what lies there; the list itself is the caller's. Four bytes each, and a few more that are free: a
/// host may have thousands of workers in memory when a cluster is simulated.
///
/// Each stands where its hash says, or in the next free entry after that.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Places counted from 1; 0: free.
    table: Vec<u32>,
    len: usize,
}

impl Places {
    /// The place with that hash of which `is_it` is true.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        self.chain(hash).map(|entry| self.place(entry)).find(|&place| is_it(place))
    }

    /// Something lies at a new place; `hash_of` tells the hash of what lies anywhere.
    pub(super) fn add(&mut self, place: usize, hash_of: impl Fn(usize) -> u64) {
        if self.len * 5 >= self.table.len() * 4 {
            let all: Vec<usize> =
                self.table.iter().filter(|at| **at > 0).map(|at| *at as usize - 1).collect();
            self.table = vec![0; (self.table.len() * 3 / 2).max(16)];
            all.into_iter().for_each(|place| self.enter(place, hash_of(place)));
        }
        self.enter(place, hash_of(place));
        self.len += 1;
    }

    /// What lies at a place is to be found no more; it still lies there.
    pub(super) fn remove(&mut self, place: usize, hash_of: impl Fn(usize) -> u64) {
        let found = self.chain(hash_of(place)).find(|&entry| self.place(entry) == place);
        let Some(mut gap) = found else { return };
        self.len -= 1;
        let mut next = self.after(gap);
        while self.table[next] != 0 {
            let home = self.home(hash_of(self.place(next)));
            // It may move back as far as to its home.
            if self.from(home, next) >= self.from(gap, next) {
                self.table[gap] = self.table[next];
                gap = next;
            }
            next = self.after(next);
        }
        self.table[gap] = 0;
    }

    /// What has that hash and lay at one place, lies at another.
    pub(super) fn moved(&mut self, hash: u64, from: usize, to: usize) {
        let found = self.chain(hash).find(|&entry| self.place(entry) == from);
        if let Some(entry) = found {
            self.table[entry] = to as u32 + 1;
        }
    }

    fn enter(&mut self, place: usize, hash: u64) {
        let mut entry = self.home(hash);
        while self.table[entry] != 0 {
            entry = self.after(entry);
        }
        self.table[entry] = place as u32 + 1;
    }

    fn place(&self, entry: usize) -> usize {
        self.table[entry] as usize - 1
    }

    fn home(&self, hash: u64) -> usize {
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((u128::from(mixed) * self.table.len() as u128) >> 64) as usize
    }

    fn after(&self, entry: usize) -> usize {
        if entry + 1 == self.table.len() { 0 } else { entry + 1 }
    }

    /// How far it is from one entry on to another.
    fn from(&self, first: usize, last: usize) -> usize {
        if last >= first { last - first } else { last + self.table.len() - first }
    }

    /// The entries in use from a hash's home on.
    fn chain(&self, hash: u64) -> impl Iterator<Item = usize> {
        let first = (!self.table.is_empty()).then(|| self.home(hash));
        std::iter::successors(first, |entry| Some(self.after(*entry)))
            .take_while(|&entry| self.table[entry] != 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_lies_somewhere_is_found_there(
            steps in proptest::collection::vec((any::<bool>(), 0u64..200), 0..400),
            spread in prop_oneof![Just(1u64), Just(u64::MAX / 7), Just(1 << 60)],
        ) {
            // Things are numbers, their hashes may be alike.
            let hash = |thing: u64| (thing / 3).wrapping_mul(spread);
            let (mut places, mut list) = (Places::default(), Vec::new());
            for (adds, thing) in steps {
                let found = places.find(hash(thing), |place| list[place] == thing);
                prop_assert_eq!(found, list.iter().position(|one| *one == thing));
                match found {
                    None if adds => {
                        list.push(thing);
                        places.add(list.len() - 1, |place| hash(list[place]));
                    }
                    Some(place) if !adds => {
                        places.remove(place, |place| hash(list[place]));
                        list.swap_remove(place);
                        if let Some(&moved) = list.get(place) {
                            places.moved(hash(moved), list.len(), place);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
