//! Maps for what is looked up with every event.
//!
//! | type | what |
//! | --- | --- |
//! | [`Few`] | few things, in the order of their keys, one beside the other |
//! | [`Lookup`] | many things, found in constant time; shown in the order of their keys, or not at all |
//! | [`Roster`] | the same for what comes and goes seldom, and is often walked through in order |

use std::collections::BTreeSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A map of few things, in the order of their keys: as many as run on one machine. Whatever has the highest key is added
/// at once; anything else moves those that come after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Few<K, V>(Vec<(K, V)>);

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> Few<K, V> {
    fn place(&self, key: &K) -> Result<usize, usize> {
        match self.0.last() {
            Some((last, _)) if last < key => Err(self.0.len()),
            _ => self.0.binary_search_by(|(known, _)| known.cmp(key)),
        }
    }

    /// What is there under a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.place(key).ok().map(|at| &self.0[at].1)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.place(key).ok().map(|at| &mut self.0[at].1)
    }

    /// Whether something is there under a key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.place(key).is_ok()
    }

    /// Puts something there; what was there before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.place(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes out what is there.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.place(key).ok().map(|at| self.0.remove(at).1)
    }

    /// The one with the lowest key.
    pub fn first(&self) -> Option<(&K, &V)> {
        self.0.first().map(|(key, value)| (key, value))
    }

    /// All, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Their keys, rising.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values, by key.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// The values, by key, to change them.
    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// Takes out everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Ord, V> std::ops::Index<&K> for Few<K, V> {
    type Output = V;

    /// # Panics
    /// Where nothing is there.
    fn index(&self, key: &K) -> &V {
        self.get(key).expect("the caller knows that it is there")
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Few<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(all: I) -> Self {
        let mut few = Self::default();
        all.into_iter().for_each(|(key, value)| {
            few.insert(key, value);
        });
        few
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for Few<K, V> {
    fn from(all: [(K, V); N]) -> Self {
        all.into_iter().collect()
    }
}

impl<K: Ord, V> IntoIterator for Few<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A map of many things under names that we give ourselves. It hashes, and still nothing depends on how: it shows what it holds in
/// the order of keys. What has numbers that follow each other, as counters give them, lies side by side: whatever comes and goes in that order
/// stays in the processor's caches.
#[derive(Debug, Clone)]
pub struct Lookup<K, V>(std::collections::HashMap<K, V, BuildHasherDefault<Numbers>>);

/// Hashes numbers: the lowest bits, by which a table finds a place, are those of the number; the highest, by which it tells
/// neighbours apart, depend on all of it.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers(u64);

/// The golden ratio: neighbours come to lie far from each other.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Numbers {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0.wrapping_mul(SPREAD) & (0x7f << 57))
    }

    fn write_u64(&mut self, number: u64) {
        // What came before is spread over all bits; nothing came before most.
        self.0 = self.0.wrapping_mul(SPREAD).rotate_left(32) ^ number;
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_i32(&mut self, number: i32) {
        self.write_u64(number as u64);
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut number = [0; 8];
            number[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(number));
        }
    }
}

impl<K, V> Default for Lookup<K, V> {
    fn default() -> Self {
        Self(std::collections::HashMap::default())
    }
}

impl<K: Ord + Hash, V> Lookup<K, V> {
    /// What is there under a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    /// What is there under a key, made where there is nothing.
    pub fn get_or(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.0.entry(key).or_insert_with(make)
    }

    /// Whether something is there under a key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// Puts something there; what was there before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    /// Takes out what is there.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }

    /// Takes out everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// All, by key: takes sorting them.
    pub fn sorted(&self) -> Vec<(&K, &V)> {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }

    /// Keeps those that `keep` says, asked in any order.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut V) -> bool) {
        self.0.retain(|_, value| keep(value));
    }

    /// How many `holds` is true of.
    pub fn count(&self, holds: impl Fn(&V) -> bool) -> usize {
        self.0.values().filter(|value| holds(value)).count()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Ord + Hash, V> FromIterator<(K, V)> for Lookup<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

/// A map of things that come and go seldom: found in constant time, and in the order of their keys without sorting them.
#[derive(Debug, Clone)]
pub struct Roster<K, V> {
    all: Lookup<K, V>,
    order: BTreeSet<K>,
}

impl<K, V> Default for Roster<K, V> {
    fn default() -> Self {
        Self { all: Lookup::default(), order: BTreeSet::new() }
    }
}

impl<K: Ord + Hash + Copy, V> Roster<K, V> {
    /// What is there under a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.all.get(key)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.all.get_mut(key)
    }

    /// Whether something is there under a key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.all.contains_key(key)
    }

    /// Puts something there; what was there before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.order.insert(key);
        self.all.insert(key, value)
    }

    /// Takes out what is there.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.order.remove(key);
        self.all.remove(key)
    }

    /// All, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.order.iter().filter_map(|key| Some((key, self.all.get(key)?)))
    }

    /// Their keys, rising.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.order.iter()
    }

    /// The values, by key.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Changes each, by key.
    pub fn each(&mut self, mut change: impl FnMut(&K, &mut V)) {
        for key in &self.order {
            if let Some(value) = self.all.get_mut(key) {
                change(key, value);
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_is_a_map(changes in prop::collection::vec((0u8..20, prop::option::of(any::<u8>())), 0..60)) {
            let (mut few, mut lookup, mut roster) = (Few::default(), Lookup::default(), Roster::default());
            let mut plain = BTreeMap::new();
            for (key, value) in changes {
                let (were, was) = match value {
                    Some(value) => (
                        [few.insert(key, value), lookup.insert(key, value), roster.insert(key, value)],
                        plain.insert(key, value),
                    ),
                    None => ([few.remove(&key), lookup.remove(&key), roster.remove(&key)], plain.remove(&key)),
                };
                prop_assert_eq!(were, [was; 3]);
                prop_assert!(few.iter().eq(plain.iter()));
                prop_assert_eq!(few.first(), plain.first_key_value());
                prop_assert!(lookup.sorted().into_iter().eq(plain.iter()));
                prop_assert!(roster.iter().eq(plain.iter()));
                prop_assert!((0..20).all(|key| few.get(&key) == plain.get(&key) && lookup.get(&key) == plain.get(&key)));
            }
        }
    }
}
