//! Which function files are here, and who uses them.

use super::places::Places;
use crate::id::ContentHash;
use crate::maps::Few;

/// The files of this worker.
#[derive(Debug, Default)]
pub(super) struct Files {
    here: Vec<ContentHash>,
    places: Places,
    /// Those of them that attempts run.
    used: Few<ContentHash, Use>,
}

#[derive(Debug, Default)]
struct Use {
    /// How many attempts run it; at least one.
    users: usize,
    /// Whether it goes with its last user.
    discarded: bool,
}

impl Files {
    pub(super) fn new(files: impl IntoIterator<Item = ContentHash>) -> Self {
        let mut all = Self::default();
        files.into_iter().for_each(|file| all.arrived(file));
        all
    }

    /// Whether new attempts may use it.
    pub(super) fn has(&self, file: ContentHash) -> bool {
        self.place(file).is_some() && self.used.get(&file).is_none_or(|used| !used.discarded)
    }

    /// It is here, and stays until it is discarded (again).
    pub(super) fn arrived(&mut self, file: ContentHash) {
        if let Some(used) = self.used.get_mut(&file) {
            used.discarded = false;
        }
        if self.place(file).is_none() {
            if self.here.len() == self.here.capacity() {
                // By an eighth: there may be many, and they seldom come.
                self.here.reserve_exact(self.here.len() / 8 + 4);
            }
            self.here.push(file);
            self.places.add(self.here.len() - 1, |place| hash(self.here[place]));
        }
    }

    /// It is not what it was: new attempts may not use it until it arrives again.
    pub(super) fn lost(&mut self, file: ContentHash) {
        match self.used.get_mut(&file) {
            Some(used) => used.discarded = true,
            None => {
                self.remove(file);
            }
        }
    }

    /// An attempt begins to use it.
    pub(super) fn begin(&mut self, file: ContentHash) {
        match self.used.get_mut(&file) {
            Some(used) => used.users += 1,
            None => {
                self.used.insert(file, Use { users: 1, discarded: false });
            }
        }
    }

    /// An attempt uses it no more; whether it is to be removed now.
    pub(super) fn end(&mut self, file: ContentHash) -> bool {
        let Some(used) = self.used.get_mut(&file) else { return false };
        used.users -= 1;
        if used.users > 0 {
            return false;
        }
        let is_discarded = used.discarded;
        self.used.remove(&file);
        is_discarded && self.remove(file)
    }

    /// Nobody will ask for it again; whether it is to be removed now.
    pub(super) fn discard(&mut self, file: ContentHash) -> bool {
        match self.used.get_mut(&file) {
            Some(used) => {
                used.discarded = true;
                false
            }
            None => self.remove(file),
        }
    }

    fn place(&self, file: ContentHash) -> Option<usize> {
        self.places.find(hash(file), |place| self.here[place] == file)
    }

    /// Takes it off the list; whether it was there.
    fn remove(&mut self, file: ContentHash) -> bool {
        let Some(place) = self.place(file) else { return false };
        self.places.remove(hash(file), place);
        self.here.swap_remove(place);
        if let Some(&moved) = self.here.get(place) {
            self.places.moved(hash(moved), self.here.len(), place);
        }
        true
    }
}

/// Any part of a hash is one.
fn hash(file: ContentHash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = file.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
