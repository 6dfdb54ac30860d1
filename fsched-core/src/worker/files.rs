//! Which function files are here, and who uses them.

use std::collections::BTreeMap;

use crate::id::ContentHash;

/// The files of this worker.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: BTreeMap<ContentHash, Use>,
}

#[derive(Debug, Default)]
struct Use {
    /// How many attempts run it.
    users: usize,
    /// Whether it goes with its last user.
    discarded: bool,
}

impl Files {
    pub(super) fn new(files: impl IntoIterator<Item = ContentHash>) -> Self {
        Self { files: files.into_iter().map(|file| (file, Use::default())).collect() }
    }

    /// Whether new attempts may use it.
    pub(super) fn has(&self, file: ContentHash) -> bool {
        self.files.get(&file).is_some_and(|entry| !entry.discarded)
    }

    /// It is here, and stays until it is discarded (again).
    pub(super) fn arrived(&mut self, file: ContentHash) {
        self.files.entry(file).or_default().discarded = false;
    }

    /// It is not what it was: new attempts may not use it until it arrives again.
    pub(super) fn lost(&mut self, file: ContentHash) {
        match self.files.get_mut(&file) {
            Some(entry) if entry.users > 0 => entry.discarded = true,
            _ => {
                self.files.remove(&file);
            }
        }
    }

    /// An attempt begins to use it.
    pub(super) fn begin(&mut self, file: ContentHash) {
        self.files.entry(file).or_default().users += 1;
    }

    /// An attempt uses it no more; whether it is to be removed now.
    pub(super) fn end(&mut self, file: ContentHash) -> bool {
        if let Some(entry) = self.files.get_mut(&file) {
            entry.users = entry.users.saturating_sub(1);
        }
        self.remove_if_unused(file)
    }

    /// Nobody will ask for it again; whether it is to be removed now.
    pub(super) fn discard(&mut self, file: ContentHash) -> bool {
        if let Some(entry) = self.files.get_mut(&file) {
            entry.discarded = true;
        }
        self.remove_if_unused(file)
    }

    fn remove_if_unused(&mut self, file: ContentHash) -> bool {
        let unused = self.files.get(&file).is_some_and(|entry| entry.discarded && entry.users == 0);
        unused && self.files.remove(&file).is_some()
    }
}
