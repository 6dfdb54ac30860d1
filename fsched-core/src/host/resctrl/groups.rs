//! The control groups that there are, and whose.

use std::fs;
use std::io;
use std::path::Path;

/// What begins the names of the groups that workers of fsched make.
const PREFIX: &str = "fsched";

/// The control groups that there are beside the root group, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Groups {
    /// Made by workers of fsched.
    pub ours: Vec<String>,
    /// Made by others: they hold classes, and are never touched.
    pub foreign: Vec<String>,
}

impl Groups {
    /// Lists the groups of the filesystem that is mounted at `mount`.
    ///
    /// # Errors
    /// Where the directory cannot be listed.
    pub fn list(mount: &Path) -> io::Result<Self> {
        let mut found = Self::default();
        for entry in fs::read_dir(mount)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // The kernel's own directories have no schemata; whatever has is a group, also one that is called `mon_groups`
            // where nothing is monitored.
            if !entry.path().join("schemata").exists() {
                continue;
            }
            let whose = if name.starts_with(PREFIX) { &mut found.ours } else { &mut found.foreign };
            whose.push(name);
        }
        found.ours.sort();
        found.foreign.sort();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_told_apart_by_their_names() {
        let mount = tempfile::tempdir().unwrap();
        for name in ["COS1", "fsched-ab.1", "mon_groups", "fsched-ab.0"] {
            fs::create_dir(mount.path().join(name)).unwrap();
            fs::write(mount.path().join(name).join("schemata"), "").unwrap();
        }
        for name in ["info", "mon_data"] {
            fs::create_dir(mount.path().join(name)).unwrap();
        }
        fs::write(mount.path().join("schemata"), "").unwrap();
        let groups = Groups::list(mount.path()).unwrap();
        assert_eq!(groups.ours, ["fsched-ab.0", "fsched-ab.1"]);
        assert_eq!(groups.foreign, ["COS1", "mon_groups"]);
    }
}
