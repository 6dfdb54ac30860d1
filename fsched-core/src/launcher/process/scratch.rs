//! A directory of its own for every launch, which is removed whatever the function made of it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, chmodat, openat, renameat, unlinkat};

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

    /// A new directory.
    pub(super) fn create(&self, launch: u32) -> io::Result<PathBuf> {
        let path = self.root.join(launch.to_string());
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(path)
    }
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
                let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
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
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::fs::mkdirat;

    use super::*;

    #[test]
    fn a_directory_deeper_than_any_path_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let scratches = Scratches::open(dir.path().join("scratch")).unwrap();
        let path = scratches.create(1).unwrap();
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
        let path = scratches.create(1).unwrap();
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
}
