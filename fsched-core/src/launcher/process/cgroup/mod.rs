//! Limits on whole trees by control groups, where the system lets us make some.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`Parents`]: where groups can be made; removal of those of a former life |
//! | `slot.rs` | [`Slot`]: the group of one launcher thread |
//!
//! With version 1 a thread alone can be in a group, and what it spawns is born there: nothing has to be written per
//! process. With version 2 only whole processes can, so each joins by itself before it becomes the function.

mod slot;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

pub(super) use slot::Slot;

use super::Means;

/// The directories under which we may make groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parents {
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
    unified: Option<PathBuf>,
}

impl Parents {
    /// Looks for groups of this process that it may divide, then for the top of each hierarchy.
    pub(super) fn find(prefix: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let memberships = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let version1 = |controller: &str, file: &str| {
            candidates(&mounts, &memberships, Some(controller))
                .into_iter()
                .find(|parent| can_hold(parent, prefix, &[file, "tasks"]))
        };
        let unified = candidates(&mounts, &memberships, None).into_iter().find(|parent| {
            // Fails where the controllers are enabled already, too; what counts is what a new group has.
            let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory +pids");
            can_hold(parent, prefix, &["memory.max", "pids.max", "cgroup.procs"])
        });
        Self {
            memory: version1("memory", "memory.limit_in_bytes"),
            pids: version1("pids", "pids.max"),
            unified,
        }
    }

    /// All of them.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        [&self.memory, &self.pids, &self.unified].into_iter().flatten().cloned().collect()
    }

    /// How the memory of a tree is limited here.
    pub(super) fn memory_means(&self) -> Means {
        match (&self.memory, &self.unified) {
            (Some(_), _) => Means::CgroupV1,
            (None, Some(_)) => Means::CgroupV2,
            (None, None) => Means::Rlimit,
        }
    }

    /// How the number of a tree's processes is limited here.
    pub(super) fn process_means(&self) -> Means {
        match (&self.pids, &self.unified) {
            (Some(_), _) => Means::CgroupV1,
            (None, Some(_)) => Means::CgroupV2,
            // The kernel counts the processes of a user, and does not count those of root.
            (None, None) if rustix::process::getuid().is_root() => Means::Nothing,
            (None, None) => Means::Rlimit,
        }
    }
}

/// Where groups of one hierarchy might be made: below our own group, beside it, at the top.
fn candidates(mounts: &str, memberships: &str, controller: Option<&str>) -> Vec<PathBuf> {
    let Some((root, mount)) = mounts.lines().find_map(|line| mounted(line, controller)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if let Some(own) = memberships.lines().find_map(|line| membership(line, controller)) {
        // In a container the mount may show only a part of the hierarchy.
        let below = own.strip_prefix(root).unwrap_or(own).trim_start_matches('/');
        let own = Path::new(mount).join(below);
        if !below.is_empty() {
            found.extend([Some(own.clone()), own.parent().map(Path::to_path_buf)].into_iter().flatten());
        }
    }
    found.push(mount.into());
    found.dedup();
    found
}

/// Root and mount point of the hierarchy, from a line of `mountinfo`.
fn mounted<'a>(line: &'a str, controller: Option<&str>) -> Option<(&'a str, &'a str)> {
    let (before, behind) = line.split_once(" - ")?;
    let mut behind = behind.split(' ');
    let is_it = match (behind.next()?, controller) {
        ("cgroup2", None) => true,
        ("cgroup", Some(name)) => behind.nth(1)?.split(',').any(|option| option == name),
        _ => false,
    };
    let mut before = before.split(' ').skip(3);
    is_it.then_some((before.next()?, before.next()?))
}

/// The path of our group, from a line of `/proc/self/cgroup`.
fn membership<'a>(line: &'a str, controller: Option<&str>) -> Option<&'a str> {
    let (number, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let is_it = match controller {
        None => number == "0" && controllers.is_empty(),
        Some(name) => controllers.split(',').any(|controller| controller == name),
    };
    is_it.then_some(path)
}

/// Whether a group made here has these files, and lets us write them.
fn can_hold(parent: &Path, prefix: &str, files: &[&str]) -> bool {
    let probe = parent.join(format!("{prefix}probe"));
    if fs::create_dir(&probe).is_err() {
        return false;
    }
    let usable = files.iter().all(|file| File::options().write(true).open(probe.join(file)).is_ok());
    let _ = fs::remove_dir(&probe);
    usable
}

/// Removes the groups below `parents` whose name begins with `prefix`, and ends what is in them.
pub(super) fn remove_all(parents: &[PathBuf], prefix: &str) {
    for parent in parents {
        let Ok(entries) = fs::read_dir(parent) else { continue };
        for group in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        {
            if let Err(error) = remove(&group.path()) {
                tracing::warn!(group = %group.path().display(), %error, "a control group cannot be removed");
            }
        }
    }
}

/// Ends what is in a group and removes it. It stays for a moment after its last process died.
fn remove(group: &Path) -> io::Result<()> {
    for _ in 0..200 {
        for pid in members(&group.join("cgroup.procs"))? {
            if let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) {
                let _ = pidfd_send_signal(handle, Signal::KILL);
            }
        }
        match fs::remove_dir(group) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            done => return done,
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// The processes in a list that the kernel gives, without this one (whose thread may be in a group of version 1).
fn members(procs: &Path) -> io::Result<Vec<Pid>> {
    let me = rustix::process::getpid();
    let list = match fs::read_to_string(procs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        list => list?,
    };
    Ok(list.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).filter(|pid| *pid != me).collect())
}

/// The same for whoever only asks: none where the list cannot be read.
pub(super) fn members_of(procs: &Path) -> Vec<Pid> {
    members(procs).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
25 30 0:23 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 /docker/1 /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
33 25 0:29 / /sys/fs/cgroup/unified rw shared:7 - cgroup2 cgroup2 rw,nsdelegate
";

    #[test]
    fn groups_are_looked_for_below_our_own_first() {
        let own = "4:memory:/docker/1/service\n3:cpu,cpuacct:/a\n0::/user.slice/x\n";
        let memory = candidates(MOUNTS, own, Some("memory"));
        assert_eq!(memory, ["/sys/fs/cgroup/memory/service", "/sys/fs/cgroup/memory"].map(PathBuf::from));
        let unified = candidates(MOUNTS, own, None);
        let below = "/sys/fs/cgroup/unified";
        let expected = [format!("{below}/user.slice/x"), format!("{below}/user.slice"), below.to_owned()];
        assert_eq!(unified, expected.map(PathBuf::from));
        assert_eq!(candidates(MOUNTS, own, Some("cpuacct")).len(), 2);
        assert_eq!(candidates(MOUNTS, own, Some("pids")), Vec::<PathBuf>::new());
    }

    #[test]
    fn odd_lines_are_passed_over() {
        assert_eq!(candidates("x - y\n\n - cgroup2\n", ":\n0\n::::\n", None), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_directory_that_is_no_hierarchy_holds_no_groups() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!can_hold(dir.path(), "fsched-x-", &["memory.max"]));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
