//! The log in front of the database: two files that take turns.
//!
//! Facts go to the active file, one `write` each. Before a batch of facts goes to the database, the other file
//! becomes the active one, so that the batch's own file can be emptied when the batch is in, while new facts arrive.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{StoreError, error, frame};

/// Where the two files are.
pub(super) fn paths(dir: &Path) -> [PathBuf; 2] {
    ["log.0", "log.1"].map(|name| dir.join(name))
}

/// What is in the two files; a file that is not there is empty.
pub(super) fn read(dir: &Path) -> Result<[Vec<u8>; 2], StoreError> {
    let [a, b] = paths(dir).map(|path| match std::fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        result => result.map_err(|e| error::of_io(&path, &e)),
    });
    Ok([a?, b?])
}

/// The two files, open for appending.
#[derive(Debug)]
pub(super) struct Log {
    paths: [PathBuf; 2],
    files: Arc<[File; 2]>,
    /// How long each is.
    ends: [u64; 2],
    /// The number of the last fact in each; 0: none.
    last: [u64; 2],
    active: usize,
    /// The number of the next fact.
    next: u64,
    /// Whether the active file may have half a frame behind its end.
    untidy: bool,
}

impl Log {
    /// Starts an empty log. What was in the files is gone.
    pub(super) fn start(dir: &Path, next: u64) -> Result<Self, StoreError> {
        let paths = paths(dir);
        let open = |path: &PathBuf| {
            let file = OpenOptions::new().create(true).write(true).truncate(true).open(path)?;
            // Old frames must not come back when the machine dies.
            file.sync_all()?;
            Ok(file)
        };
        let open = |path| open(path).map_err(|e| error::of_io(path, &e));
        let files = Arc::new([open(&paths[0])?, open(&paths[1])?]);
        let mut log = Self { paths, files, ends: [0; 2], last: [0; 2], active: 1, next, untidy: false };
        log.take_turns()?;
        Ok(log)
    }

    /// The files, for emptying a spent one without holding up who appends.
    pub(super) fn files(&self) -> Arc<[File; 2]> {
        Arc::clone(&self.files)
    }

    /// How long both are.
    pub(super) fn len(&self) -> u64 {
        self.ends[0] + self.ends[1]
    }

    /// Appends a fact, [`frame::HEADER`] free bytes in front, and returns its number.
    pub(super) fn append(&mut self, frame: &mut [u8]) -> Result<u64, StoreError> {
        let sequence = self.next;
        frame::seal(frame, sequence);
        self.write(frame)?;
        self.last[self.active] = sequence;
        self.next += 1;
        Ok(sequence)
    }

    /// Makes the other file the active one, if it is empty.
    pub(super) fn take_turns(&mut self) -> Result<(), StoreError> {
        let other = 1 - self.active;
        if self.ends[other] > 0 {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.active, other);
        // The mark shows, when the log is read, that nothing between the database and here is missing.
        self.write(&frame::mark(self.next)).inspect_err(|_| self.active = before)
    }

    /// The file that is not active, if all its facts are in the database.
    pub(super) fn spent(&self, applied: u64) -> Option<usize> {
        let other = 1 - self.active;
        (self.ends[other] > 0 && self.last[other] <= applied).then_some(other)
    }

    /// A spent file has been emptied.
    pub(super) fn emptied(&mut self, file: usize) {
        self.ends[file] = 0;
        self.last[file] = 0;
    }

    /// Writes all of it or nothing.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let (file, end) = (&self.files[self.active], self.ends[self.active]);
        let tidied = if self.untidy { file.set_len(end) } else { Ok(()) };
        match tidied.and_then(|()| file.write_all_at(bytes, end)) {
            Ok(()) => {
                self.untidy = false;
                self.ends[self.active] += bytes.len() as u64;
                Ok(())
            }
            Err(e) => {
                self.untidy = file.set_len(end).is_err();
                Err(error::of_io(&self.paths[self.active], &e))
            }
        }
    }
}
