//! The kernel's resctrl: whether it is there, how it is mounted, and what it offers.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`Filesystem`]: absent, there but not mounted, or mounted |
//! | `offer.rs` | [`Offer`]: what its `info` directory says of caches, bandwidth, monitoring and classes |
//! | `groups.rs` | [`Groups`]: the control groups that there are, and whose |

mod groups;
mod offer;

use std::path::{Path, PathBuf};

pub use self::groups::Groups;
pub use self::offer::{BandwidthOffer, CacheOffer, MonitoringOffer, Offer, OfferError};
use super::mounts::{self, Mount};

/// Where the kernel wants it mounted.
pub const MOUNT_POINT: &str = "/sys/fs/resctrl";
/// What `statfs` says of it (`RDTGROUP_SUPER_MAGIC`).
const MAGIC: u64 = 0x0765_5821;

/// How far it is to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filesystem {
    /// The kernel has none: it was built without, or found no processor for it.
    Absent,
    /// The kernel has it, and here it is not mounted.
    Unmounted,
    /// It is mounted here.
    Mounted(Mount),
}

impl Filesystem {
    /// Looks below `root`, usually `/`.
    pub fn look(root: &Path) -> Self {
        Self::look_with(root, is_resctrl)
    }

    /// The same, for trees that are not the kernel's; `is_it` says whether a directory is the filesystem.
    fn look_with(root: &Path, is_it: impl Fn(&Path) -> bool) -> Self {
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let table = read("proc/self/mountinfo");
        let mounted = mounts::parse(&table).filter(|mount| mount.kind == "resctrl");
        // The last mount on a place hides those before it. A line of the table may be stale, or the place hidden; what the
        // kernel says of the directory itself counts.
        let found = mounted.filter(|mount| is_it(&below(root, &mount.at))).last();
        if let Some(mount) = found {
            return Self::Mounted(mount);
        }
        let point = below(root, Path::new(MOUNT_POINT));
        if is_it(&point) {
            return Self::Mounted(Mount::unknown(Path::new(MOUNT_POINT), "resctrl"));
        }
        let known =
            read("proc/filesystems").lines().any(|line| line.trim_start_matches("nodev").trim() == "resctrl");
        if point.is_dir() || known { Self::Unmounted } else { Self::Absent }
    }

    /// Where it is, if it is mounted.
    pub fn mount(&self) -> Option<&Mount> {
        match self {
            Self::Mounted(mount) => Some(mount),
            Self::Absent | Self::Unmounted => None,
        }
    }
}

/// A path of the system's below another root.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Whether this directory is of the kernel's resctrl: an empty directory of that name is not.
pub fn is_resctrl(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| u64::try_from(found.f_type) == Ok(MAGIC))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tree(mountinfo: &str, filesystems: &str, point: bool) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        fs::write(root.path().join("proc/self/mountinfo"), mountinfo).unwrap();
        fs::write(root.path().join("proc/filesystems"), filesystems).unwrap();
        if point {
            fs::create_dir_all(root.path().join("sys/fs/resctrl")).unwrap();
        }
        root
    }

    const LINE: &str = "40 23 0:31 / /sys/fs/resctrl rw,relatime shared:9 - resctrl resctrl rw,cdp\n";

    #[test]
    fn without_directory_and_filesystem_there_is_no_support() {
        let root = tree("", "nodev\tsysfs\nnodev\tnot_resctrl\n", false);
        assert_eq!(Filesystem::look(root.path()), Filesystem::Absent);
    }

    #[test]
    fn a_directory_that_is_empty_is_support_and_no_mount() {
        let root = tree("", "nodev\tresctrl\n", true);
        assert_eq!(Filesystem::look(root.path()), Filesystem::Unmounted);
    }

    #[test]
    fn a_line_in_the_table_alone_is_no_mount() {
        let root = tree(LINE, "", true);
        assert_eq!(Filesystem::look(root.path()), Filesystem::Unmounted);
    }

    #[test]
    fn a_mount_is_found_with_its_options_wherever_it_is() {
        let root = tree(&format!("{LINE}{}", LINE.replace("/sys/fs/resctrl rw", "/mnt/r ro")), "", true);
        let Filesystem::Mounted(mount) = Filesystem::look_with(root.path(), |_| true) else { panic!() };
        assert_eq!(mount.at, Path::new("/mnt/r"));
        assert!(mount.read_only && mount.has("cdp"));
        let only_usual = |path: &Path| path.ends_with("sys/fs/resctrl");
        let Filesystem::Mounted(mount) = Filesystem::look_with(root.path(), only_usual) else { panic!() };
        assert!(!mount.read_only);
    }
}
