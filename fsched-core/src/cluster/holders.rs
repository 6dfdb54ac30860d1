//! Who has which function's file.

use roaring::RoaringBitmap;

use crate::id::{ContentHash, WorkerId};
use crate::maps::Lookup;

/// Workers, as a set of small numbers: two bytes each, an eighth of one where they are many.
///
/// A worker whose number is above four billion is not noted: it is taken not to have the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Holders(RoaringBitmap);

impl Holders {
    /// Whether it is one of them.
    pub fn contains(&self, worker: WorkerId) -> bool {
        number(worker).is_some_and(|number| self.0.contains(number))
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = WorkerId> {
        self.0.iter().map(|number| WorkerId(number.into()))
    }
}

fn number(worker: WorkerId) -> Option<u32> {
    u32::try_from(worker.0).ok()
}

/// By file, who has it, where anybody has.
#[derive(Debug, Clone, Default)]
pub(super) struct Files(Lookup<ContentHash, Holders>);

impl Files {
    pub(super) fn of(&self, file: ContentHash) -> Option<&Holders> {
        self.0.get(&file)
    }

    pub(super) fn add(&mut self, worker: WorkerId, file: ContentHash) {
        if let Some(number) = number(worker) {
            self.0.get_or(file, Holders::default).0.insert(number);
        }
    }

    pub(super) fn remove(&mut self, worker: WorkerId, file: ContentHash) {
        let (Some(number), Some(holders)) = (number(worker), self.0.get_mut(&file)) else { return };
        holders.0.remove(number);
        if holders.0.is_empty() {
            self.0.remove(&file);
        }
    }

    /// A file is gone.
    pub(super) fn forget(&mut self, file: ContentHash) {
        self.0.remove(&file);
    }

    /// A worker is gone, with all that it has.
    pub(super) fn forget_worker(&mut self, worker: WorkerId) {
        let Some(number) = number(worker) else { return };
        self.0.retain(|holders| {
            holders.0.remove(number);
            !holders.0.is_empty()
        });
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.0.sorted().iter().map(|(_, holders)| holders.iter().count()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_file_is_known_until_one_of_both_is_gone() {
        let mut files = Files::default();
        let file = |n| ContentHash([n; 32]);
        for (worker, of) in [(3, 1), (70_000, 1), (3, 2), (u64::MAX, 2)] {
            files.add(WorkerId(worker), file(of));
        }
        let who =
            |files: &Files, of| files.of(file(of)).map(|holders| holders.iter().map(|id| id.0).collect());
        assert_eq!(who(&files, 1), Some(vec![3, 70_000]));
        assert!(!files.of(file(2)).unwrap().contains(WorkerId(u64::MAX)), "its number is too high");
        files.remove(WorkerId(3), file(2));
        assert_eq!(who(&files, 2), None);
        files.forget_worker(WorkerId(3));
        assert_eq!(who(&files, 1), Some(vec![70_000]));
        files.forget(file(1));
        assert_eq!(files.entries(), 0);
    }
}
