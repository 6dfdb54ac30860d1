//! A real directory: the kernel's resctrl filesystem, or plain files that look like one.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};

use super::fs::{ResctrlFile, ResctrlFs};
use crate::host::resctrl::is_resctrl;

/// How often we ask for the lock that somebody holds, and how long we wait in between.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// A resctrl filesystem at a directory.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
    /// The root, open for the next lock, while nobody has it.
    for_lock: Arc<Mutex<Option<File>>>,
    /// Plain files keep what was in them beyond what is written.
    plain: bool,
}

impl Directory {
    /// The kernel's, wherever it is mounted; usually at [`MOUNT_POINT`](crate::host::resctrl::MOUNT_POINT).
    pub fn kernel(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), for_lock: Arc::default(), plain: false }
    }

    /// Plain files: what is written to them is what they say, and no rule is enforced.
    pub fn plain(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), for_lock: Arc::default(), plain: true }
    }
}

/// One of its files.
struct OpenFile {
    file: File,
    plain: bool,
    /// What was read or written last, bytes; none: nothing yet.
    length: Cell<Option<usize>>,
}

impl ResctrlFile for OpenFile {
    fn read(&self) -> io::Result<String> {
        let text = read_whole(&self.file)?;
        self.length.set(Some(text.len()));
        Ok(text)
    }

    fn write(&self, text: &str) -> io::Result<()> {
        whole(self.file.write_at(text.as_bytes(), 0)?, text)?;
        let before = self.length.replace(Some(text.len()));
        if self.plain && before.is_none_or(|before| before > text.len()) {
            self.file.set_len(text.len() as u64)?;
        }
        Ok(())
    }
}

/// The kernel takes each write by itself: what it did not take whole, it did not take.
fn whole(written: usize, text: &str) -> io::Result<()> {
    if written == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Reads a file from its beginning. One read that leaves room has brought all of it: these files are made anew for each.
fn read_whole(file: &File) -> io::Result<String> {
    let mut bytes = vec![0; 1024];
    let mut length = 0;
    loop {
        match file.read_at(&mut bytes[length..], length as u64) {
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        if length < bytes.len() {
            bytes.truncate(length);
            return String::from_utf8(bytes)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
        }
        bytes.resize(2 * length, 0);
    }
}

impl ResctrlFs for Directory {
    fn root(&self) -> &Path {
        &self.root
    }

    fn is_mounted(&self) -> io::Result<bool> {
        // Without resctrl in the kernel there is no such directory; unmounted it is there, and empty.
        fs::metadata(&self.root)?;
        Ok(if self.plain { self.root.join("schemata").exists() } else { is_resctrl(&self.root) })
    }

    fn read(&self, path: &str) -> io::Result<String> {
        read_whole(&File::open(self.root.join(path))?)
    }

    fn write(&self, path: &str, text: &str) -> io::Result<()> {
        let mut file = File::options().write(true).truncate(self.plain).open(self.root.join(path))?;
        whole(file.write(text.as_bytes())?, text)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn ResctrlFile + '_>> {
        let file = File::options().read(true).write(true).open(self.root.join(path))?;
        Ok(Box::new(OpenFile { file, plain: self.plain, length: Cell::new(None) }))
    }

    fn make_group(&self, path: &str) -> io::Result<()> {
        let group = self.root.join(path);
        fs::create_dir(&group)?;
        if self.plain {
            fs::copy(self.root.join("schemata"), group.join("schemata"))?;
            fs::write(group.join("tasks"), "")?;
            fs::write(group.join("mode"), "shareable\n")?;
        }
        Ok(())
    }

    fn remove_group(&self, path: &str) -> io::Result<()> {
        let group = self.root.join(path);
        if self.plain {
            for file in ["schemata", "tasks", "mode"] {
                fs::remove_file(group.join(file))?;
            }
        }
        fs::remove_dir(group)
    }

    fn directories(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(path))? {
            let entry = entry?;
            if entry.file_type()?.is_dir()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn lock(&self) -> io::Result<Box<dyn Send>> {
        let kept = self.for_lock.lock().take();
        let directory = kept.map_or_else(|| File::open(&self.root), Ok)?;
        for _ in 0..LOCK_TRIES {
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    return Ok(Box::new(Locked {
                        directory: Some(directory),
                        home: Arc::clone(&self.for_lock),
                    }));
                }
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {
                    std::thread::sleep(LOCK_PAUSE)
                }
                Err(other) => return Err(other.into()),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn rest(&self) {
        *self.for_lock.lock() = None;
    }
}

/// The lock, as long as it lives.
struct Locked {
    directory: Option<File>,
    home: Arc<Mutex<Option<File>>>,
}

impl Drop for Locked {
    fn drop(&mut self) {
        let Some(directory) = self.directory.take() else { return };
        // Where that fails, closing it gives the lock back.
        if flock(&directory, FlockOperation::Unlock).is_ok() {
            *self.home.lock() = Some(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often this process has a directory open.
    fn times_open(directory: &Path) -> usize {
        let open =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        open.filter(|path| path == directory).count()
    }

    #[test]
    fn a_lock_that_is_taken_again_is_a_lock_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (one, other) = (Directory::plain(&root), Directory::plain(&root));
        for _ in 0..2 {
            let lock = one.lock().unwrap();
            for second in [&other, &one.clone()] {
                assert_eq!(second.lock().err().map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
            }
            drop(lock);
            drop(other.lock().unwrap());
        }
        assert_eq!(times_open(&root), 2, "one for each");
        one.rest();
        other.rest();
        assert_eq!(times_open(&root), 0);
    }

    #[test]
    fn an_open_file_says_what_was_written_last_by_whomever() {
        let dir = tempfile::tempdir().unwrap();
        let files = Directory::plain(dir.path());
        let long = "L3:0=fffff\n".repeat(200);
        fs::write(dir.path().join("schemata"), &long).unwrap();
        let file = files.open("schemata").unwrap();
        file.write("L3:0=ff\n").unwrap();
        assert_eq!(file.read().unwrap(), "L3:0=ff\n", "written without having been read");
        fs::write(dir.path().join("schemata"), &long).unwrap();
        assert_eq!(file.read().unwrap(), long, "more than one buffer");
        for text in ["L3:0=f\n", "L3:0=fff\n", ""] {
            file.write(text).unwrap();
            assert_eq!(file.read().unwrap(), text);
            assert_eq!(files.read("schemata").unwrap(), text);
        }
        assert_eq!(files.open("nothing").err().and_then(|error| error.raw_os_error()), Some(libc::ENOENT));
    }
}
