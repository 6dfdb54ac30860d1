//! The functions there are: versions by name, who uses them, and when they may go.

use std::collections::{BTreeMap, BTreeSet};

use crate::function::{Function, FunctionName, FunctionSpec, InputSize};
use crate::id::{ContentHash, FunctionId};
use crate::maps::Lookup;
use crate::time::Timestamp;

#[derive(Debug)]
struct Entry {
    function: Function,
    /// How many invocations and benchmarks use it now.
    users: usize,
    /// Removed: goes when nobody uses it any more.
    removing: bool,
    /// Input sizes it ran at.
    sizes: BTreeSet<InputSize>,
}

/// A function and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionInfo {
    /// The function.
    pub function: Function,
    /// Input sizes that samples are there for, at most [`FunctionInfo::MAX_SIZES`].
    pub benchmarked: Vec<InputSize>,
    /// How many invocations wait or run.
    pub running: usize,
    /// Whether it was removed and only waits for those.
    pub removing: bool,
}

impl FunctionInfo {
    /// How many input sizes are listed.
    pub const MAX_SIZES: usize = 64;
}

/// Functions that are gone for good, and files that nothing refers to any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) functions: Vec<FunctionId>,
    pub(super) files: Vec<ContentHash>,
}

#[derive(Debug, Default)]
pub(super) struct Functions {
    entries: Lookup<FunctionId, Entry>,
    names: BTreeMap<FunctionName, BTreeMap<u32, FunctionId>>,
    files: Lookup<ContentHash, usize>,
    next: u64,
}

impl Functions {
    pub(super) fn restore(functions: impl IntoIterator<Item = Function>, next: u64) -> Self {
        let mut all = Self { next: next.max(1), ..Self::default() };
        functions.into_iter().for_each(|function| all.insert(function));
        all
    }

    fn insert(&mut self, function: Function) {
        self.next = self.next.max(function.id.0 + 1);
        *self.files.get_or(function.spec.file, usize::default) += 1;
        self.names.entry(function.spec.name.clone()).or_default().insert(function.version, function.id);
        let entry = Entry { users: 0, removing: false, sizes: BTreeSet::new(), function };
        self.entries.insert(entry.function.id, entry);
    }

    /// A new version of the function of that name.
    pub(super) fn push(&mut self, now: Timestamp, spec: FunctionSpec) -> Function {
        let newest = self.names.get(&spec.name).and_then(|versions| versions.keys().next_back().copied());
        let version = newest.unwrap_or(0) + 1;
        let function = Function { id: FunctionId(self.next), version, spec, pushed_at: now };
        self.insert(function.clone());
        function
    }

    /// Versions beyond the newest `keep` of a name.
    pub(super) fn outdated(&self, name: &FunctionName, keep: usize) -> Vec<FunctionId> {
        self.names
            .get(name)
            .map_or_else(Vec::new, |versions| versions.values().rev().skip(keep.max(1)).copied().collect())
    }

    /// The function, unless it was removed.
    pub(super) fn get(&self, id: FunctionId) -> Option<&Function> {
        self.entries.get(&id).filter(|entry| !entry.removing).map(|entry| &entry.function)
    }

    /// The function, even when it was removed and only waits for those who use it.
    pub(super) fn get_even_removed(&self, id: FunctionId) -> Option<&Function> {
        self.entries.get(&id).map(|entry| &entry.function)
    }

    pub(super) fn latest(&self, name: &FunctionName) -> Option<&Function> {
        let versions = self.names.get(name)?;
        versions.values().rev().find_map(|&id| self.get(id))
    }

    /// The newest version of each, unless it was removed.
    pub(super) fn newest(&self) -> impl Iterator<Item = &Function> {
        self.names.values().filter_map(|versions| versions.values().rev().find_map(|&id| self.get(id)))
    }

    pub(super) fn infos(&self) -> impl Iterator<Item = FunctionInfo> {
        self.entries.sorted().into_iter().map(|(_, entry)| FunctionInfo {
            function: entry.function.clone(),
            benchmarked: entry.sizes.iter().copied().collect(),
            running: entry.users,
            removing: entry.removing,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.entries.count(|entry| !entry.removing)
    }

    pub(super) fn holds_file(&self, file: ContentHash) -> bool {
        self.files.contains_key(&file)
    }

    /// Notes that samples are there at an input size; whether there is such a function, and it was not removed.
    pub(super) fn sampled(&mut self, id: FunctionId, size: InputSize) -> bool {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.removing) else { return false };
        if entry.sizes.len() < FunctionInfo::MAX_SIZES {
            entry.sizes.insert(size);
        }
        true
    }

    pub(super) fn use_by_one_more(&mut self, id: FunctionId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.users += 1;
        }
    }

    /// What goes with its last user, where it was removed.
    pub(super) fn use_by_one_less(&mut self, id: FunctionId) -> Option<Gone> {
        let entry = self.entries.get_mut(&id)?;
        entry.users = entry.users.saturating_sub(1);
        let goes = entry.removing && entry.users == 0;
        goes.then(|| self.sweep(id))
    }

    /// Removes it now, or when the last user ends; the number of users. `None` where there is none such.
    pub(super) fn remove(&mut self, id: FunctionId) -> Option<(usize, Gone)> {
        let entry = self.entries.get_mut(&id).filter(|entry| !entry.removing)?;
        entry.removing = true;
        let users = entry.users;
        Some((users, self.sweep(id)))
    }

    fn sweep(&mut self, id: FunctionId) -> Gone {
        let unused = |entry: &Entry| entry.removing && entry.users == 0;
        if !self.entries.get(&id).is_some_and(unused) {
            return Gone::default();
        }
        let Some(Entry { function, .. }) = self.entries.remove(&id) else { return Gone::default() };
        if let Some(versions) = self.names.get_mut(&function.spec.name) {
            versions.remove(&function.version);
            if versions.is_empty() {
                self.names.remove(&function.spec.name);
            }
        }
        let mut files = Vec::new();
        if let Some(references) = self.files.get_mut(&function.spec.file) {
            *references -= 1;
            if *references == 0 {
                self.files.remove(&function.spec.file);
                files.push(function.spec.file);
            }
        }
        Gone { functions: vec![id], files }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cache::Bytes;
    use crate::function::Needs;

    fn spec(name: &str, file: u8) -> FunctionSpec {
        FunctionSpec {
            tenant: Default::default(),
            name: name.parse().unwrap(),
            file: ContentHash([file; 32]),
            file_size: Bytes(1),
            command: None,
            needs: Needs::default(),
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn the_newest_version_has_the_name() {
        let mut functions = Functions::restore([], 0);
        let first = functions.push(Timestamp(0), spec("a", 1));
        let second = functions.push(Timestamp(0), spec("a", 2));
        assert_eq!((first.version, second.version), (1, 2));
        assert_eq!(functions.latest(&first.spec.name), Some(&second));
        assert_eq!(functions.outdated(&first.spec.name, 1), [first.id]);
        functions.remove(second.id).unwrap();
        assert_eq!(functions.latest(&first.spec.name), Some(&first));
    }

    #[test]
    fn removing_waits_for_what_runs_and_then_frees_the_file() {
        let mut functions = Functions::restore([], 0);
        let one = functions.push(Timestamp(0), spec("a", 1));
        let same_file = functions.push(Timestamp(0), spec("b", 1));
        functions.use_by_one_more(one.id);
        assert_eq!(functions.remove(one.id), Some((1, Gone::default())));
        assert_eq!(functions.get(one.id), None);
        assert_eq!(functions.remove(one.id), None);
        let gone = Gone { functions: vec![one.id], files: vec![] };
        assert_eq!(functions.use_by_one_less(one.id), Some(gone));
        assert!(functions.holds_file(one.spec.file));
        let gone = Gone { functions: vec![same_file.id], files: vec![one.spec.file] };
        assert_eq!(functions.remove(same_file.id), Some((0, gone)));
    }

    #[test]
    fn ids_are_not_given_twice() {
        let mut functions = Functions::restore([], 7);
        let function = functions.push(Timestamp(0), spec("a", 1));
        functions.remove(function.id).unwrap();
        assert_eq!(function.id, FunctionId(7));
        assert_eq!(functions.push(Timestamp(0), spec("a", 1)).id, FunctionId(8));
    }
}
