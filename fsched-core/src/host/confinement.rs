//! What the kernel has to confine functions: control groups, landlock, seccomp.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use super::{mounts, sys};

/// What the kernel has to confine functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// Control groups.
    pub cgroups: Cgroups,
    /// Rules for access to files.
    pub landlock: Landlock,
    /// Whether system calls can be filtered.
    pub seccomp: bool,
}

/// Control groups that are mounted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cgroups {
    /// Controllers of version 1 that have a hierarchy.
    pub version1: BTreeSet<String>,
    /// Controllers of version 2 that groups can have; `None` where it is not mounted.
    pub version2: Option<BTreeSet<String>>,
}

/// Rules for access to files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Landlock {
    /// There, with this version of its interface.
    Version(u32),
    /// Built into the kernel, and not switched on when it booted.
    Off,
    /// Not built into the kernel, or kept from us.
    Absent,
}

impl Confinement {
    /// Looks below `root`, usually `/`; landlock is always the kernel's at hand.
    pub fn look(root: &Path) -> Self {
        let seccomp = root.join("proc/sys/kernel/seccomp/actions_avail").exists();
        Self { cgroups: Cgroups::look(root), landlock: Landlock::of(sys::landlock_version()), seccomp }
    }
}

impl Cgroups {
    fn look(root: &Path) -> Self {
        let table = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
        let mut found = Self::default();
        for mount in mounts::parse(&table) {
            match mount.kind.as_str() {
                "cgroup" => {
                    found.version1.extend(mount.options.into_iter().filter(|option| is_controller(option)))
                }
                "cgroup2" => {
                    let at = root.join(mount.at.strip_prefix("/").unwrap_or(&mount.at));
                    let list = fs::read_to_string(at.join("cgroup.controllers")).unwrap_or_default();
                    found.version2 = Some(list.split_whitespace().map(str::to_owned).collect());
                }
                _ => {}
            }
        }
        found
    }
}

impl Landlock {
    fn of(version: io::Result<u32>) -> Self {
        match version {
            Ok(version) => Self::Version(version),
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Self::Off,
            Err(_) => Self::Absent,
        }
    }
}

/// Whether an option of a hierarchy of version 1 names a controller.
fn is_controller(option: &str) -> bool {
    !option.contains('=') && !["rw", "ro", "xattr", "clone_children", "noprefix", "none"].contains(&option)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        fs::create_dir_all(root.path().join("sys/fs/cgroup/unified")).unwrap();
        let table = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct
36 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
";
        fs::write(root.path().join("proc/self/mountinfo"), table).unwrap();
        fs::write(root.path().join("sys/fs/cgroup/unified/cgroup.controllers"), "hugetlb pids\n").unwrap();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let found = Cgroups::look(root.path());
        assert_eq!(found.version1, set(&["cpu", "cpuacct", "memory"]));
        assert_eq!(found.version2, Some(set(&["hugetlb", "pids"])));
        assert_eq!(Cgroups::look(Path::new("/nowhere")), Cgroups::default());
    }

    #[test]
    fn the_kernels_answer_says_what_is_wrong_with_landlock() {
        let of = |errno| Landlock::of(Err(io::Error::from_raw_os_error(errno)));
        assert_eq!(of(libc::EOPNOTSUPP), Landlock::Off);
        assert_eq!(of(libc::ENOSYS), Landlock::Absent);
        assert_eq!(Landlock::of(Ok(3)), Landlock::Version(3));
    }
}
