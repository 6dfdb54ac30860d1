//! Who we are, and what that lets us do with resctrl.

use std::fs;
use std::path::Path;

use rustix::fs::{Access, access};

use super::Mount;

/// `CAP_SYS_ADMIN` (capabilities(7)).
const SYS_ADMIN: u32 = 21;

/// Who we are, and what that lets us do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Our user.
    pub user: u32,
    /// Whether we may mount filesystems.
    pub mounts: bool,
    /// Whether we may make control groups where resctrl is mounted, write their masks and move tasks into them. A mount that
    /// can only be read does not count against it.
    pub divides: bool,
}

impl Rights {
    /// Looks below `root`, usually `/`, and at the filesystem where it is mounted.
    pub fn look(root: &Path, resctrl: Option<&Mount>) -> Self {
        let status = fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
        let user = rustix::process::geteuid();
        let allowed = |path: &Path, wanted| match access(path, wanted) {
            Ok(()) | Err(rustix::io::Errno::ROFS) => true,
            Err(_) => false,
        };
        let divides = |mount: &Mount| {
            let at = root.join(mount.at.strip_prefix("/").unwrap_or(&mount.at));
            allowed(&at, Access::WRITE_OK | Access::EXEC_OK)
                && ["schemata", "tasks"].iter().all(|file| allowed(&at.join(file), Access::WRITE_OK))
        };
        Self {
            user: user.as_raw(),
            mounts: capabilities(&status).is_some_and(|held| held >> SYS_ADMIN & 1 == 1),
            divides: resctrl.is_some_and(divides),
        }
    }

    /// Whether we are root.
    pub fn is_root(&self) -> bool {
        self.user == 0
    }
}

/// The effective capabilities in `/proc/self/status`.
fn capabilities(status: &str) -> Option<u64> {
    let digits = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?.trim();
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn capabilities_come_back(held in any::<u64>()) {
            prop_assert_eq!(capabilities(&format!("Name:\tx\nCapEff:\t{held:016x}\nCapBnd:\t0\n")), Some(held));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(?s).*") {
            let _ = capabilities(&format!("CapEff:{text}"));
        }
    }

    #[test]
    fn without_a_mount_nothing_can_be_divided() {
        let root = tempfile::tempdir().unwrap();
        assert!(!Rights::look(root.path(), None).divides);
        assert!(!Rights::look(root.path(), None).mounts);
        let mount = Mount::unknown(Path::new("/sys/fs/resctrl"), "resctrl");
        assert!(!Rights::look(root.path(), Some(&mount)).divides);
        let at = root.path().join("sys/fs/resctrl");
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join("schemata"), "").unwrap();
        assert!(!Rights::look(root.path(), Some(&mount)).divides);
        fs::write(at.join("tasks"), "").unwrap();
        assert!(Rights::look(root.path(), Some(&mount)).divides);
    }
}
