//! Where things lie in a list: a table by hash.

use hashbrown::HashTable;

/// Places in a list, found by the hash of what lies there; the list itself is the caller's. Five bytes each, and a few more that are
/// free: a host may have thousands of workers in memory when a cluster is simulated.
#[derive(Debug, Default)]
pub(super) struct Places(HashTable<u32>);

impl Places {
    /// The place with that hash of which `is_it` is true.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        self.0.find(mixed(hash), |place| is_it(*place as usize)).map(|place| *place as usize)
    }

    /// Something lies at a new place; `hash_of` tells the hash of what lies anywhere.
    pub(super) fn add(&mut self, place: usize, hash_of: impl Fn(usize) -> u64) {
        self.0.insert_unique(mixed(hash_of(place)), place as u32, |place| mixed(hash_of(*place as usize)));
    }

    /// What has that hash and lies at a place is to be found no more; it still lies there.
    pub(super) fn remove(&mut self, hash: u64, place: usize) {
        if let Ok(found) = self.0.find_entry(mixed(hash), |known| *known as usize == place) {
            found.remove();
        }
    }

    /// What has that hash and lay at one place, lies at another.
    pub(super) fn moved(&mut self, hash: u64, from: usize, to: usize) {
        if let Some(place) = self.0.find_mut(mixed(hash), |known| *known as usize == from) {
            *place = to as u32;
        }
    }
}

/// Every bit depends on all: the table looks at the lowest and the highest.
fn mixed(hash: u64) -> u64 {
    let product = u128::from(hash) * 0x9e37_79b9_7f4a_7c15;
    (product >> 64) as u64 ^ product as u64
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
                        places.remove(hash(thing), place);
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
