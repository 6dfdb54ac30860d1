//! A real directory: the kernel's resctrl filesystem, or plain files that look like one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::fs::ResctrlFs;
use crate::host::resctrl::is_resctrl;

/// How often we ask for the lock that somebody holds, and how long we wait in between.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// A resctrl filesystem at a directory.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
    /// Plain files keep what was in them beyond what is written.
    plain: bool,
}

impl Directory {
    /// The kernel's, wherever it is mounted; usually at [`MOUNT_POINT`](crate::host::resctrl::MOUNT_POINT).
    pub fn kernel(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), plain: false }
    }

    /// Plain files: what is written to them is what they say, and no rule is enforced.
    pub fn plain(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), plain: true }
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
        let mut text = String::with_capacity(256);
        File::open(self.root.join(path))?.read_to_string(&mut text)?;
        Ok(text)
    }

    fn write(&self, path: &str, text: &str) -> io::Result<()> {
        let mut file = File::options().write(true).truncate(self.plain).open(self.root.join(path))?;
        let written = file.write(text.as_bytes())?;
        if written == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
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
        let directory = File::open(&self.root)?;
        for _ in 0..LOCK_TRIES {
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Box::new(directory)),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {
                    std::thread::sleep(LOCK_PAUSE)
                }
                Err(other) => return Err(other.into()),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}
