//! What there is to do with a resctrl filesystem, whoever it belongs to.

use std::io;
use std::path::{Path, PathBuf};

/// A resctrl filesystem: the kernel's, plain files that look like it, or one that only pretends and fails on demand.
///
/// Paths are relative to the root of the mount, with `/` between their parts, as in `info/L3/cbm_mask`. Errors are the
/// system's, with its number in [`io::Error::raw_os_error`]. An implementation must:
/// - write the whole text in a single `write()`, for the kernel takes each by itself, and never create a file;
/// - make and remove one directory at a time: removing recursively is refused by the kernel;
/// - read a file whole, from its beginning.
///
/// It keeps nothing in memory that another process could change.
pub trait ResctrlFs: Send + Sync {
    /// Where it is mounted, for messages.
    fn root(&self) -> &Path;

    /// Whether there is a resctrl filesystem, and not just a directory where one could be mounted.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where the kernel knows no resctrl.
    fn is_mounted(&self) -> io::Result<bool>;

    /// What a file says.
    ///
    /// # Errors
    /// The system's.
    fn read(&self, path: &str) -> io::Result<String>;

    /// Writes to a file, all at once.
    ///
    /// # Errors
    /// The system's. What it has to say beyond that is in `info/last_cmd_status`.
    fn write(&self, path: &str, text: &str) -> io::Result<()>;

    /// Opens a file, to be read and written several times in a row.
    ///
    /// # Errors
    /// The system's, now or when the file is used.
    fn open(&self, path: &str) -> io::Result<Box<dyn ResctrlFile + '_>> {
        Ok(Box::new(ByPath { fs: self, path: path.to_owned() }))
    }

    /// Makes a group.
    ///
    /// # Errors
    /// The system's.
    fn make_group(&self, path: &str) -> io::Result<()>;

    /// Removes a group; its tasks fall back to the root group.
    ///
    /// # Errors
    /// The system's.
    fn remove_group(&self, path: &str) -> io::Result<()>;

    /// The names of the directories in a directory, sorted; `""` is the root.
    ///
    /// # Errors
    /// The system's.
    fn directories(&self, path: &str) -> io::Result<Vec<String>>;

    /// Keeps others who ask for it too away for as long as the answer lives: `flock` on the root. Waits a little for
    /// whoever has it now. What it takes to ask again may be kept open until [`rest`](Self::rest): nobody can unmount the
    /// filesystem that long.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where somebody does not give it back.
    fn lock(&self) -> io::Result<Box<dyn Send>>;

    /// Closes what [`lock`](Self::lock) keeps open. An implementation that keeps nothing open need not write it.
    fn rest(&self) {}
}

/// An open file of a [`ResctrlFs`].
pub trait ResctrlFile {
    /// What it says now, whole.
    ///
    /// # Errors
    /// As [`ResctrlFs::read`].
    fn read(&self) -> io::Result<String>;

    /// Writes to it, all at once.
    ///
    /// # Errors
    /// As [`ResctrlFs::write`].
    fn write(&self, text: &str) -> io::Result<()>;
}

/// A file that is found anew each time.
struct ByPath<'a, F: ?Sized> {
    fs: &'a F,
    path: String,
}

impl<F: ResctrlFs + ?Sized> ResctrlFile for ByPath<'_, F> {
    fn read(&self) -> io::Result<String> {
        self.fs.read(&self.path)
    }

    fn write(&self, text: &str) -> io::Result<()> {
        self.fs.write(&self.path, text)
    }
}

impl<F: ResctrlFs + ?Sized> ResctrlFs for Box<F> {
    fn root(&self) -> &Path {
        (**self).root()
    }

    fn is_mounted(&self) -> io::Result<bool> {
        (**self).is_mounted()
    }

    fn read(&self, path: &str) -> io::Result<String> {
        (**self).read(path)
    }

    fn write(&self, path: &str, text: &str) -> io::Result<()> {
        (**self).write(path, text)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn ResctrlFile + '_>> {
        (**self).open(path)
    }

    fn make_group(&self, path: &str) -> io::Result<()> {
        (**self).make_group(path)
    }

    fn remove_group(&self, path: &str) -> io::Result<()> {
        (**self).remove_group(path)
    }

    fn directories(&self, path: &str) -> io::Result<Vec<String>> {
        (**self).directories(path)
    }

    fn lock(&self) -> io::Result<Box<dyn Send>> {
        (**self).lock()
    }

    fn rest(&self) {
        (**self).rest();
    }
}

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// To open a file for reading and writing.
    Open,
    /// To read a file.
    Read,
    /// To write a file.
    Write,
    /// To make a group.
    MakeGroup,
    /// To remove a group.
    RemoveGroup,
    /// To list a directory.
    List,
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "opening",
            Self::Read => "reading",
            Self::Write => "writing",
            Self::MakeGroup => "making the group",
            Self::RemoveGroup => "removing the group",
            Self::List => "listing",
        })
    }
}

/// What the kernel refused, with all that it says about it. To be decided by its number, not by its text: that may be of
/// an earlier command.
#[derive(Debug, thiserror::Error)]
#[error("{act} {}{}: {source}{}", .path.display(), wrote(.text.as_deref()), said(.status))]
pub struct FsError {
    /// What was tried.
    pub act: Act,
    /// On what.
    pub path: PathBuf,
    /// What was written, where it was a write.
    pub text: Option<String>,
    /// What `info/last_cmd_status` said after it; empty where it could not be read.
    pub status: String,
    /// The system's error.
    pub source: io::Error,
}

impl FsError {
    /// The number of the system's error.
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// Whether what it was tried on is not there (any more).
    pub fn is_gone(&self) -> bool {
        matches!(self.errno(), Some(libc::ENOENT | libc::ENODEV))
    }

    /// Whether there is no class, no RMID or no way left, now or for a while.
    pub fn is_full(&self) -> bool {
        matches!(self.errno(), Some(libc::ENOSPC | libc::EBUSY))
    }
}

fn wrote(text: Option<&str>) -> String {
    text.map(|text| format!(" {text:?}")).unwrap_or_default()
}

fn said(status: &str) -> String {
    if status.is_empty() {
        String::new()
    } else {
        format!(" (the kernel says: {})", status.replace('\n', "; "))
    }
}

/// The same, with errors that say everything.
pub(super) struct Told<'a>(pub(super) &'a dyn ResctrlFs);

impl Told<'_> {
    pub(super) fn read(&self, path: &str) -> Result<String, FsError> {
        self.0.read(path).map_err(|source| self.error(Act::Read, path, None, source))
    }

    /// As [`read`](Self::read), and none where there is no such file.
    pub(super) fn read_if_there(&self, path: &str) -> Result<Option<String>, FsError> {
        match self.read(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, path: &str, text: &str) -> Result<(), FsError> {
        self.0.write(path, text).map_err(|source| self.error(Act::Write, path, Some(text), source))
    }

    pub(super) fn open<'b>(&'b self, path: &'b str) -> Result<ToldFile<'b>, FsError> {
        let file = self.0.open(path).map_err(|source| self.error(Act::Open, path, None, source))?;
        Ok(ToldFile { told: self, path, file })
    }

    pub(super) fn make_group(&self, path: &str) -> Result<(), FsError> {
        self.0.make_group(path).map_err(|source| self.error(Act::MakeGroup, path, None, source))
    }

    pub(super) fn remove_group(&self, path: &str) -> Result<(), FsError> {
        self.0.remove_group(path).map_err(|source| self.error(Act::RemoveGroup, path, None, source))
    }

    pub(super) fn directories(&self, path: &str) -> Result<Vec<String>, FsError> {
        self.0.directories(path).map_err(|source| self.error(Act::List, path, None, source))
    }

    fn error(&self, act: Act, path: &str, text: Option<&str>, source: io::Error) -> FsError {
        let status = self.0.read("info/last_cmd_status").unwrap_or_default().trim_end().to_owned();
        FsError { act, path: self.0.root().join(path), text: text.map(str::to_owned), status, source }
    }
}

/// An open file, with errors that say everything.
pub(super) struct ToldFile<'a> {
    told: &'a Told<'a>,
    path: &'a str,
    file: Box<dyn ResctrlFile + 'a>,
}

impl ToldFile<'_> {
    pub(super) fn read(&self) -> Result<String, FsError> {
        self.file.read().map_err(|source| self.told.error(Act::Read, self.path, None, source))
    }

    pub(super) fn write(&self, text: &str) -> Result<(), FsError> {
        self.file.write(text).map_err(|source| self.told.error(Act::Write, self.path, Some(text), source))
    }
}
