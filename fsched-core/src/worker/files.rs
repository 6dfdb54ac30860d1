//! Which function files attempts run. Whoever has the disk knows which are there.

use crate::id::ContentHash;
use crate::maps::Few;

/// The files that attempts run.
#[derive(Debug, Default)]
pub(super) struct Files(Few<ContentHash, Use>);

#[derive(Debug, Default)]
struct Use {
    /// How many attempts run it; at least one.
    users: usize,
    /// Whether it goes with its last user.
    discarded: bool,
}

impl Files {
    /// Whether it is about to go.
    pub(super) fn is_going(&self, file: ContentHash) -> bool {
        self.0.get(&file).is_some_and(|used| used.discarded)
    }

    /// It is here, and stays until it is discarded (again).
    pub(super) fn arrived(&mut self, file: ContentHash) {
        if let Some(used) = self.0.get_mut(&file) {
            used.discarded = false;
        }
    }

    /// An attempt begins to use it.
    pub(super) fn begin(&mut self, file: ContentHash) {
        match self.0.get_mut(&file) {
            Some(used) => used.users += 1,
            None => {
                self.0.insert(file, Use { users: 1, discarded: false });
            }
        }
    }

    /// An attempt uses it no more; whether it is to be removed now.
    pub(super) fn end(&mut self, file: ContentHash) -> bool {
        let Some(used) = self.0.get_mut(&file) else { return false };
        used.users -= 1;
        if used.users > 0 {
            return false;
        }
        self.0.remove(&file).is_some_and(|used| used.discarded)
    }

    /// Nobody will ask for it again, or it is not what it was; whether it is to be removed now.
    pub(super) fn discard(&mut self, file: ContentHash) -> bool {
        match self.0.get_mut(&file) {
            Some(used) => {
                used.discarded = true;
                false
            }
            None => true,
        }
    }
}
