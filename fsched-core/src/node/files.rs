//! Files by content hash, in one directory.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::cache::Bytes;
use crate::id::ContentHash;

/// What the names of unfinished files begin with: nothing that a hash begins with.
const UNFINISHED: &str = "incoming-";

/// Why a file was not kept, or not found whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The disk is full: nothing of the file was kept. Make room and try again.
    #[error("no space left for files in {dir}")]
    Full {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The file is not what it should be: nothing of it was kept.
    #[error("the file has hash {found}, not {expected}: it did not arrive whole")]
    Mismatch {
        /// What it should have been.
        expected: ContentHash,
        /// What came.
        found: ContentHash,
    },
    /// Reading or writing failed.
    #[error("cannot use {path}: {source}")]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FileError {
    fn new(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { dir: path.parent().unwrap_or(path).to_path_buf() }
            }
            _ => Self::Io { path: path.to_path_buf(), source },
        }
    }
}

/// Files by content hash, in one directory: `<dir>/<hash>`, mode 0755.
///
/// A file appears under its name only when it is whole and on disk, so after a crash there are whole files and
/// unfinished ones, which [`open`](FileStore::open) removes. What a disk damages later is found by
/// [`verify`](FileStore::verify) and [`verify_all`](FileStore::verify_all), which read every byte; `open` does not.
///
/// A directory belongs to one process, which opens it once and clones the handle.
#[derive(Debug, Clone)]
pub struct FileStore {
    dir: Arc<Path>,
    next: Arc<AtomicU64>,
    /// What files were like when their content was known last.
    stamps: Arc<Mutex<HashMap<ContentHash, Stamp>>>,
}

/// What changes with a file's content: nobody can write to it, or put another in its place, and keep all of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

impl FileStore {
    /// Opens a directory, makes it where there is none, and removes what was never finished.
    ///
    /// # Errors
    /// Where the directory cannot be made or read.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, FileError> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(|e| FileError::new(&dir, e))?;
        let store = Self { dir: dir.into(), next: Arc::default(), stamps: Arc::default() };
        for name in store.names()? {
            if name.starts_with(UNFINISHED) {
                remove_if_there(&store.dir.join(name))?;
            }
        }
        Ok(store)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a file is, or would be.
    pub fn path(&self, file: ContentHash) -> PathBuf {
        self.dir.join(file.to_string())
    }

    /// Whether there is such a file.
    pub fn contains(&self, file: ContentHash) -> bool {
        self.path(file).is_file()
    }

    /// The files there are; names that are no hashes are left alone.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn list(&self) -> Result<Vec<ContentHash>, FileError> {
        Ok(self.names()?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Removes a file; one that there is not, is removed already. Who runs it now goes on.
    ///
    /// # Errors
    /// Where the system does not let us.
    pub fn remove(&self, file: ContentHash) -> Result<(), FileError> {
        self.stamps.lock().remove(&file);
        remove_if_there(&self.path(file))
    }

    /// Whether a file is there as it was when its content was known last: when it arrived, or was
    /// [verified](Self::verify). A function may have written to its own file meanwhile. Costs one look at the file's
    /// attributes; a file that was never looked at is read.
    pub fn is_intact(&self, file: ContentHash) -> bool {
        let stamp = self.stamps.lock().get(&file).copied();
        match stamp {
            Some(stamp) => Stamp::of(&self.path(file)).is_ok_and(|now| now == stamp),
            None => self.verify(file).is_ok(),
        }
    }

    /// Whether a file was there, whole, when it was looked at last, and was not removed since. Does not look at the disk.
    pub fn is_known(&self, file: ContentHash) -> bool {
        self.stamps.lock().contains_key(&file)
    }

    /// Reads a whole file to see whether it is what its name says.
    ///
    /// # Errors
    /// [`FileError::Mismatch`] where it is not; where it cannot be read.
    pub fn verify(&self, file: ContentHash) -> Result<(), FileError> {
        let path = self.path(file);
        let stamp = Stamp::of(&path).map_err(|e| FileError::new(&path, e))?;
        let found = hash_of(&path).map_err(|e| FileError::new(&path, e))?;
        if found != file {
            return Err(FileError::Mismatch { expected: file, found });
        }
        self.stamps.lock().insert(file, stamp);
        Ok(())
    }

    /// Verifies every file, removes the damaged ones, and lists the others. Meant for the start.
    ///
    /// # Errors
    /// Where a file cannot be read, or a damaged one not be removed.
    pub fn verify_all(&self) -> Result<Vec<ContentHash>, FileError> {
        let mut whole = Vec::new();
        for file in self.list()? {
            match self.verify(file) {
                Ok(()) => whole.push(file),
                Err(FileError::Mismatch { found, .. }) => {
                    tracing::warn!(%file, %found, "a damaged file is removed");
                    self.remove(file)?;
                }
                Err(other) => return Err(other),
            }
        }
        Ok(whole)
    }

    /// As [`verify_all`](FileStore::verify_all), without holding up the async thread.
    pub(super) async fn verify_all_elsewhere(self) -> Result<Vec<ContentHash>, FileError> {
        let dir = Arc::clone(&self.dir);
        match tokio::task::spawn_blocking(move || self.verify_all()).await {
            Ok(result) => result,
            Err(stopped) => Err(FileError::new(&dir, io::Error::other(stopped))),
        }
    }

    /// Begins a file that comes piece by piece.
    ///
    /// # Errors
    /// Where no file can be made.
    pub fn writer(&self) -> Result<FileWriter, FileError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{UNFINISHED}{number}"));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(&path)
            .map_err(|e| FileError::new(&path, e))?;
        let unfinished = Unfinished(path);
        // The mode above is cut by the umask.
        file.set_permissions(Permissions::from_mode(0o755)).map_err(|e| FileError::new(&unfinished.0, e))?;
        Ok(FileWriter { file, unfinished, hasher: Sha256::new(), len: 0, store: self.clone() })
    }

    /// Keeps a file that is in memory; waits for the disk.
    ///
    /// # Errors
    /// As [`FileWriter::finish`].
    pub fn put(&self, content: &[u8]) -> Result<ContentHash, FileError> {
        let mut writer = self.writer()?;
        writer.write(content)?;
        Ok(writer.finish_blocking(None)?.0)
    }

    fn names(&self) -> Result<Vec<String>, FileError> {
        let error = |e| FileError::new(&self.dir, e);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(error)? {
            let entry = entry.map_err(error)?;
            if entry.file_type().map_err(error)?.is_file() {
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }
}

/// A file on its way into a [`FileStore`]; dropped before it is finished, nothing of it is kept.
#[derive(Debug)]
pub struct FileWriter {
    file: File,
    unfinished: Unfinished,
    hasher: Sha256,
    len: u64,
    store: FileStore,
}

impl FileWriter {
    /// Adds a piece. Writes to the page cache only: short enough for async code.
    ///
    /// # Errors
    /// [`FileError::Full`] and others; the writer is then of no use any more.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), FileError> {
        self.file.write_all(piece).map_err(|e| FileError::new(&self.unfinished.0, e))?;
        self.hasher.update(piece);
        self.len += piece.len() as u64;
        Ok(())
    }

    /// Bytes so far.
    pub fn len(&self) -> Bytes {
        Bytes(self.len)
    }

    /// Whether nothing came so far.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps the file under its hash and waits, without holding up the async thread, until it survives the death
    /// of the machine. Dropping the future does not stop it.
    ///
    /// # Errors
    /// [`FileError::Mismatch`] where the hash is not `expected`; [`FileError::Full`] and others.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn finish(self, expected: Option<ContentHash>) -> Result<(ContentHash, Bytes), FileError> {
        let dir = Arc::clone(&self.store.dir);
        match tokio::task::spawn_blocking(move || self.finish_blocking(expected)).await {
            Ok(result) => result,
            Err(stopped) => Err(FileError::new(&dir, io::Error::other(stopped))),
        }
    }

    /// As [`finish`](FileWriter::finish), holding up this thread.
    ///
    /// # Errors
    /// The same.
    pub fn finish_blocking(self, expected: Option<ContentHash>) -> Result<(ContentHash, Bytes), FileError> {
        let found = ContentHash(self.hasher.finalize().into());
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(FileError::Mismatch { expected, found });
        }
        let error = |e| FileError::new(&self.unfinished.0, e);
        self.file.sync_all().map_err(error)?;
        // Closed before it gets its name: no program may be executed while somebody can write to it.
        drop(self.file);
        fs::rename(&self.unfinished.0, self.store.path(found)).map_err(error)?;
        // Renaming changes the stamp, so it is taken now; nothing runs the file before it is said to be here.
        let stamp = Stamp::of(&self.store.path(found)).map_err(error)?;
        self.store.stamps.lock().insert(found, stamp);
        File::open(&self.store.dir).and_then(|dir| dir.sync_all()).map_err(error)?;
        Ok((found, Bytes(self.len)))
    }
}

/// An unfinished file, gone when dropped (or renamed before).
#[derive(Debug)]
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Err(error) = remove_if_there(&self.0) {
            tracing::warn!(%error, "an unfinished file stays until the next start");
        }
    }
}

fn remove_if_there(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(FileError::new(path, e)),
        _ => Ok(()),
    }
}

fn hash_of(path: &Path) -> io::Result<ContentHash> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(ContentHash(hasher.finalize().into())),
            n => hasher.update(&piece[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn store() -> (TempDir, FileStore) {
        let dir = TempDir::new().unwrap();
        let store = FileStore::open(dir.path().join("files")).unwrap();
        (dir, store)
    }

    fn entries(store: &FileStore) -> usize {
        fs::read_dir(store.dir()).unwrap().count()
    }

    #[test]
    fn a_file_is_found_under_the_hash_of_its_content_and_can_be_executed() {
        let (_dir, store) = store();
        let file = store.put(b"abc").unwrap();
        // The test vector of FIPS 180-2.
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(file.to_string(), known);
        assert!(store.contains(file));
        assert_eq!(store.list().unwrap(), [file]);
        assert_eq!(fs::read(store.path(file)).unwrap(), b"abc");
        assert_eq!(fs::metadata(store.path(file)).unwrap().permissions().mode() & 0o7777, 0o755);
    }

    #[test]
    fn a_file_that_somebody_wrote_to_or_replaced_is_not_intact() {
        let (_dir, store) = store();
        let changes: [fn(&Path); 3] = [
            |path| fs::write(path, b"abd").unwrap(),
            |path| fs::remove_file(path).unwrap(),
            |path| {
                fs::write(path.with_extension("new"), b"abc").unwrap();
                fs::rename(path.with_extension("new"), path).unwrap();
            },
        ];
        for change in changes {
            let file = store.put(b"abc").unwrap();
            assert!(store.is_intact(file));
            change(&store.path(file));
            assert!(!store.is_intact(file));
        }
        // Found at a start: read once, known from then on.
        let file = store.put(b"abc").unwrap();
        let again = FileStore::open(store.dir()).unwrap();
        assert!(again.is_intact(file));
        fs::write(again.path(file), b"abd").unwrap();
        assert!(!again.is_intact(file));
    }

    #[test]
    fn a_file_that_is_not_what_it_should_be_leaves_nothing() {
        let (_dir, store) = store();
        let mut writer = store.writer().unwrap();
        writer.write(b"abd").unwrap();
        let expected = ContentHash([7; 32]);
        let error = writer.finish_blocking(Some(expected)).unwrap_err();
        assert!(matches!(error, FileError::Mismatch { expected: e, .. } if e == expected), "{error}");
        assert_eq!(entries(&store), 0);
    }

    #[test]
    fn a_writer_that_is_dropped_leaves_nothing() {
        let (_dir, store) = store();
        let mut writer = store.writer().unwrap();
        writer.write(b"half").unwrap();
        assert_eq!(entries(&store), 1);
        drop(writer);
        assert_eq!(entries(&store), 0);
    }

    #[test]
    fn a_full_disk_is_told_from_other_errors_and_leaves_nothing() {
        let (_dir, store) = store();
        let mut writer = store.writer().unwrap();
        writer.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = writer.write(b"abc").unwrap_err();
        assert!(matches!(&error, FileError::Full { dir } if **dir == *store.dir()), "{error}");
        drop(writer);
        assert_eq!(entries(&store), 0);
    }

    #[test]
    fn opening_removes_what_was_never_finished_and_nothing_else() {
        let (_dir, store) = store();
        let file = store.put(b"abc").unwrap();
        fs::write(store.dir().join("incoming-17"), b"half").unwrap();
        fs::write(store.dir().join("README"), b"not ours").unwrap();
        let store = FileStore::open(store.dir()).unwrap();
        assert_eq!(store.list().unwrap(), [file]);
        assert_eq!(entries(&store), 2);
    }

    #[test]
    fn damage_is_found_and_removed() {
        let (_dir, store) = store();
        let (good, bad) = (store.put(b"good").unwrap(), store.put(b"bad").unwrap());
        fs::write(store.path(bad), b"worse").unwrap();
        assert!(matches!(store.verify(bad), Err(FileError::Mismatch { .. })));
        assert_eq!(store.verify_all().unwrap(), [good]);
        assert!(!store.contains(bad));
    }

    #[test]
    fn two_may_write_the_same_file_at_once() {
        let (_dir, store) = store();
        let mut writers = [store.writer().unwrap(), store.writer().unwrap()];
        for writer in &mut writers {
            writer.write(b"same").unwrap();
        }
        let hashes = writers.map(|writer| writer.finish_blocking(None).unwrap().0);
        assert_eq!(hashes[0], hashes[1]);
        assert_eq!(entries(&store), 1);
        store.verify(hashes[0]).unwrap();
    }

    #[test]
    fn removing_twice_is_removing() {
        let (_dir, store) = store();
        let file = store.put(b"abc").unwrap();
        store.remove(file).unwrap();
        store.remove(file).unwrap();
        assert!(!store.contains(file));
    }

    #[tokio::test]
    async fn finishing_waits_for_the_disk_elsewhere() {
        let (_dir, store) = store();
        let mut writer = store.writer().unwrap();
        writer.write(b"abc").unwrap();
        let (file, size) = writer.finish(None).await.unwrap();
        assert_eq!(size, Bytes(3));
        store.verify(file).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn pieces_add_up_to_the_whole(content in proptest::collection::vec(any::<u8>(), 0..512), cut in 0usize..512) {
            let (_dir, store) = store();
            let (head, tail) = content.split_at(cut.min(content.len()));
            let mut writer = store.writer().unwrap();
            writer.write(head).unwrap();
            writer.write(tail).unwrap();
            let (file, size) = writer.finish_blocking(None).unwrap();
            prop_assert_eq!(size, Bytes(content.len() as u64));
            prop_assert_eq!(file, store.put(&content).unwrap());
            prop_assert_eq!(fs::read(store.path(file)).unwrap(), content);
        }
    }
}
