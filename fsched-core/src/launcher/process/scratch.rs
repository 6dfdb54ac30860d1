//! A directory of its own for every launch, which is gone afterwards whatever the function made of it.

use std::fs::{self, DirBuilder};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RawDir, SeekFrom, Stat, chmodat, flistxattr, fstat, openat,
    renameat, seek, statat, unlinkat,
};

/// Where scratch directories live.
#[derive(Debug)]
pub(super) struct Scratches {
    root: PathBuf,
}

impl Scratches {
    /// Opens the directory of scratch directories, and removes those of a former life.
    pub(super) fn open(root: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        for entry in fs::read_dir(&root)? {
            remove(&entry?.path());
        }
        Ok(Self { root })
    }

    /// The scratch directories of one thread.
    pub(super) fn of_thread(&self, number: u32) -> Scratch {
        Scratch { root: self.root.clone(), thread: number, given: 0, directory: None }
    }
}

/// The scratch directories of one thread, one after the other.
///
/// A directory that comes back as it was given gets a name never used before, and is given again: making and
/// removing one costs a file system with a journal a seventh of a process's start, renaming a tenth of that.
#[derive(Debug)]
pub(super) struct Scratch {
    root: PathBuf,
    thread: u32,
    /// How many names were used.
    given: u64,
    /// The directory that the next launch gets, under [`Self::path`].
    directory: Option<Untouched>,
}

impl Scratch {
    /// The name that was not used yet.
    fn path(&self) -> PathBuf {
        self.root.join(format!("{}-{}", self.thread, self.given))
    }

    /// An empty directory.
    pub(super) fn take(&mut self) -> io::Result<PathBuf> {
        let path = self.path();
        if self.directory.as_ref().is_none_or(|directory| !directory.is_at(&path)) {
            self.directory = None;
            DirBuilder::new().mode(0o700).create(&path)?;
            self.directory = Untouched::new(&path).ok();
        }
        Ok(path)
    }

    /// Whether the directory came back as it was given: then [`Self::give_back`] is brief, and there is nothing to remove.
    pub(super) fn is_untouched(&self) -> bool {
        self.directory.as_ref().is_some_and(Untouched::is_as_it_was)
    }

    /// From now on there is no directory with this path, nor anything that was in it.
    pub(super) fn give_back(&mut self, path: &Path) {
        self.given += 1;
        let next = self.path();
        if let Some(directory) = &self.directory
            && directory.is_as_it_was()
            && fs::rename(path, &next).is_ok()
        {
            if directory.is_at(&next) {
                return;
            }
            // The function had moved it away and put another in its place.
            remove(&next);
        }
        self.directory = None;
        remove(path);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.directory.is_some() {
            remove(&self.path());
        }
    }
}

/// An empty directory, held open, and what it was like in the beginning.
#[derive(Debug)]
struct Untouched {
    handle: OwnedFd,
    stat: Stat,
    attributes: Vec<u8>,
}

impl Untouched {
    fn new(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = openat(CWD, path, flags, Mode::empty())?;
        Ok(Self { stat: fstat(&handle)?, attributes: attributes(&handle), handle })
    }

    /// Whether it is empty and has the mode, owner and attributes it had.
    fn is_as_it_was(&self) -> bool {
        let same = fstat(&self.handle).is_ok_and(|now| {
            let of = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_nlink);
            of(&now) == of(&self.stat)
        });
        same && attributes(&self.handle) == self.attributes && self.is_empty()
    }

    fn is_empty(&self) -> bool {
        if seek(&self.handle, SeekFrom::Start(0)).is_err() {
            return false;
        }
        let mut buffer = [MaybeUninit::uninit(); 512];
        let mut entries = RawDir::new(&self.handle, &mut buffer);
        while let Some(entry) = entries.next() {
            if !entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")) {
                return false;
            }
        }
        true
    }

    fn is_at(&self, path: &Path) -> bool {
        let found = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW);
        found.is_ok_and(|found| (found.st_dev, found.st_ino) == (self.stat.st_dev, self.stat.st_ino))
    }
}

/// The names of its extended attributes, as far as a page holds them.
fn attributes(directory: &OwnedFd) -> Vec<u8> {
    let mut names = [0; 4096];
    flistxattr(directory, &mut names[..]).map_or(Vec::new(), |length| names[..length].to_vec())
}

/// Removes a directory and all below it. What cannot be removed is left, and logged.
pub(super) fn remove(path: &Path) {
    // Most functions leave nothing behind.
    if fs::remove_dir(path).is_ok() {
        return;
    }
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir()) {
        // The function put something else in its place, perhaps a link, which nobody shall follow.
        let _ = fs::remove_file(path);
        return;
    }
    if let Err(error) = empty(path).and_then(|()| fs::remove_dir(path))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a scratch directory cannot be removed");
    }
}

/// Empties a directory without recursion: every directory found below is first moved to the top, so that
/// neither a depth of thousands nor a path longer than the kernel takes is in the way.
fn empty(path: &Path) -> io::Result<()> {
    let top = open_made_ours(CWD, path)?;
    let mut moved = 0u64;
    empty_level(top.as_fd(), top.as_fd(), true, &mut moved)?;
    loop {
        let mut emptied = false;
        for (name, kind) in entries(top.as_fd())? {
            if kind != FileType::Directory {
                continue;
            }
            let level = open_made_ours(top.as_fd(), &name)?;
            empty_level(top.as_fd(), level.as_fd(), false, &mut moved)?;
            unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
            emptied = true;
        }
        if !emptied {
            return Ok(());
        }
    }
}

/// Unlinks the files of one directory and moves its directories to the top (unless it is the top).
fn empty_level(top: BorrowedFd<'_>, level: BorrowedFd<'_>, is_top: bool, moved: &mut u64) -> io::Result<()> {
    for (name, kind) in entries(level)? {
        if kind != FileType::Directory {
            unlinkat(level, &name, AtFlags::empty())?;
        } else if !is_top {
            // A directory that is moved has its `..` rewritten, for which it has to be writable.
            let _ = chmodat(level, &name, Mode::RWXU, AtFlags::empty());
            loop {
                *moved += 1;
                // Over an empty directory of that name this would succeed; over any other we take the next name.
                match renameat(level, &name, top, format!(".fsched-{moved}")) {
                    Err(
                        rustix::io::Errno::NOTEMPTY | rustix::io::Errno::EXIST | rustix::io::Errno::NOTDIR,
                    ) => {}
                    done => break done?,
                }
            }
        }
    }
    Ok(())
}

fn open_made_ours<P: rustix::path::Arg + Copy>(at: BorrowedFd<'_>, path: P) -> io::Result<OwnedFd> {
    let _ = chmodat(at, path, Mode::RWXU, AtFlags::empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(at, path, flags, Mode::empty())?)
}

fn entries(directory: BorrowedFd<'_>) -> io::Result<Vec<(std::ffi::CString, FileType)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            kind => kind,
        };
        found.push((name.to_owned(), kind));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use rustix::fs::mkdirat;

    use super::*;

    #[test]
    fn a_directory_deeper_than_any_path_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let scratches = Scratches::open(dir.path().join("scratch")).unwrap();
        let mut scratch = scratches.of_thread(0);
        let path = scratch.take().unwrap();
        let mut level: OwnedFd = fs::File::open(&path).unwrap().into();
        for _ in 0..3000 {
            mkdirat(&level, "deep", Mode::RWXU).unwrap();
            level = openat(&level, "deep", OFlags::RDONLY, Mode::empty()).unwrap();
        }
        remove(&path);
        assert!(!path.exists());
    }

    #[test]
    fn a_read_only_tree_is_removed_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "x").unwrap();
        let scratches = Scratches::open(dir.path().join("scratch")).unwrap();
        let mut scratch = scratches.of_thread(0);
        let path = scratch.take().unwrap();
        fs::create_dir_all(path.join("a/b/c")).unwrap();
        fs::write(path.join("a/b/file"), "x").unwrap();
        symlink(&kept, path.join("a/link")).unwrap();
        for name in ["a/b/c", "a/b", "a"] {
            fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o000)).unwrap();
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        remove(&path);
        assert!(!path.exists());
        assert!(kept.join("file").exists());
    }

    #[test]
    fn names_like_our_own_are_no_trap() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scratch");
        fs::create_dir_all(path.join("a/b/c")).unwrap();
        for n in 1..4 {
            fs::create_dir_all(path.join(format!(".fsched-{n}/x"))).unwrap();
        }
        remove(&path);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_former_life_left_is_removed_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("scratch");
        fs::create_dir_all(root.join("17/a/b")).unwrap();
        Scratches::open(root.clone()).unwrap();
        assert_eq!(fs::read_dir(root).unwrap().count(), 0);
    }

    #[test]
    fn an_untouched_directory_is_given_again_under_another_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut scratch = Scratches::open(dir.path().into()).unwrap().of_thread(0);
        let first = scratch.take().unwrap();
        let inode = fs::metadata(&first).unwrap().ino();
        scratch.give_back(&first);
        assert!(!first.exists());
        let second = scratch.take().unwrap();
        assert_ne!(first, second);
        assert_eq!(fs::metadata(&second).unwrap().ino(), inode);
        scratch.give_back(&second);
        drop(scratch);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_was_touched_in_any_way_is_not_given_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut scratch = Scratches::open(dir.path().into()).unwrap().of_thread(0);
        let touches: [fn(&Path); 5] = [
            |path| fs::write(path.join("file"), "x").unwrap(),
            |path| fs::create_dir(path.join("directory")).unwrap(),
            |path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap(),
            |path| fs::remove_dir(path).unwrap(),
            |path| {
                fs::rename(path, path.with_extension("moved")).unwrap();
                fs::create_dir(path).unwrap();
                fs::write(path.join("secret"), "x").unwrap();
            },
        ];
        for touch in touches {
            let path = scratch.take().unwrap();
            assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
            touch(&path);
            scratch.give_back(&path);
            assert!(!path.exists());
        }
        let path = scratch.take().unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    }
}
