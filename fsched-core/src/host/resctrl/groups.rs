//! The control groups that there are, and whose.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::allocator::resctrl::{PREFIX, Schemata};

/// The control groups that there are beside the root group, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Groups {
    /// Made by workers of fsched.
    pub ours: Vec<String>,
    /// Made by others: they hold classes, and are never touched.
    pub foreign: Vec<String>,
    /// Which of those have ways that a worker keeps from the root group: exclusive ways of a function.
    pub intruders: Vec<String>,
}

impl Groups {
    /// How many groups each worker of fsched has here, by what begins its key.
    pub fn workers(&self) -> BTreeMap<&str, usize> {
        let mut workers = BTreeMap::new();
        for name in &self.ours {
            let rest = name.strip_prefix(PREFIX).unwrap_or(name);
            let key = rest.split_once('.').map_or(rest, |(key, _)| key);
            *workers.entry(key).or_default() += 1;
        }
        workers
    }

    /// Lists the groups of the filesystem that is mounted at `mount`, while nobody changes them who asks for its lock; where
    /// that is held for longer than a moment, as they are.
    ///
    /// # Errors
    /// Where the directory cannot be listed.
    pub fn list(mount: &Path) -> io::Result<Self> {
        let _unchanged = reading(mount);
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
        let schemata = |group: &str| -> Schemata {
            let text = fs::read_to_string(mount.join(group).join("schemata")).unwrap_or_default();
            text.parse().unwrap_or_default()
        };
        let root = schemata("");
        for line in ["L3", "L3CODE", "L3DATA"] {
            let ours: Vec<Schemata> = found.ours.iter().map(|group| schemata(group)).collect();
            let kept = |domain| {
                let ours =
                    ours.iter().filter_map(|group| group.get(line, domain)).fold(0, |all, bits| all | bits);
                (domain, ours & !root.get(line, domain).unwrap_or(0))
            };
            let kept: Vec<_> = root.domains(line).map(kept).collect();
            let reaches = |group: &&String| schemata(group).has_any_of(&[line], &kept);
            found.intruders.extend(found.foreign.iter().filter(reaches).cloned());
        }
        found.intruders.sort();
        found.intruders.dedup();
        Ok(found)
    }
}

/// How often the lock is asked for, and the pause between: a writer keeps it for less than a millisecond.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// Keeps who wants to write away for as long as the answer lives; none where a writer stays.
fn reading(mount: &Path) -> Option<File> {
    let directory = File::open(mount).ok()?;
    for _ in 0..LOCK_TRIES {
        match flock(&directory, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Some(directory),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => thread::sleep(LOCK_PAUSE),
            Err(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_the_lock_and_wait_for_no_writer_for_ever() {
        let mount = tempfile::tempdir().unwrap();
        let writer = || {
            let directory = File::open(mount.path()).unwrap();
            flock(&directory, FlockOperation::NonBlockingLockExclusive).map(|()| directory)
        };
        let readers = (reading(mount.path()), reading(mount.path()));
        assert!(readers.0.is_some() && readers.1.is_some());
        assert!(writer().is_err(), "somebody reads");
        drop(readers);
        let writing = writer().unwrap();
        assert!(reading(mount.path()).is_none());
        assert_eq!(Groups::list(mount.path()).unwrap(), Groups::default());
        drop(writing);
        assert!(reading(mount.path()).is_some());
    }

    #[test]
    fn groups_are_told_apart_by_their_names() {
        let mount = tempfile::tempdir().unwrap();
        for name in ["COS1", "fsched-ab.1", "mon_groups", "fsched-ab.0", "fsched-cd.1", "fschedule"] {
            fs::create_dir(mount.path().join(name)).unwrap();
            fs::write(mount.path().join(name).join("schemata"), "").unwrap();
        }
        for name in ["info", "mon_data"] {
            fs::create_dir(mount.path().join(name)).unwrap();
        }
        fs::write(mount.path().join("schemata"), "").unwrap();
        let groups = Groups::list(mount.path()).unwrap();
        assert_eq!(groups.ours, ["fsched-ab.0", "fsched-ab.1", "fsched-cd.1"]);
        assert_eq!(
            groups.foreign,
            ["COS1", "fschedule", "mon_groups"],
            "the allocator takes it for somebody else's"
        );
        assert_eq!(groups.workers(), BTreeMap::from([("ab", 2), ("cd", 1)]));
    }

    #[test]
    fn who_of_the_others_has_exclusive_ways_is_found() {
        let mount = tempfile::tempdir().unwrap();
        let groups = [
            ("", "ff0;1=fff"),
            ("fsched-ab.1", "00f;1=fff"),
            ("fsched-ab.2", "ff0;1=fff"),
            ("wide", "fff;1=fff"),
            ("apart", "ff0;1=00f"),
        ];
        for (name, masks) in groups {
            fs::create_dir_all(mount.path().join(name)).unwrap();
            fs::write(
                mount.path().join(name).join("schemata"),
                format!("    MB:0=100;1=100\n    L3:0={masks}\n"),
            )
            .unwrap();
        }
        assert_eq!(Groups::list(mount.path()).unwrap().intruders, ["wide"]);
        fs::write(mount.path().join("schemata"), "L3:0=fff;1=fff\n").unwrap();
        assert_eq!(
            Groups::list(mount.path()).unwrap().intruders,
            Vec::<String>::new(),
            "nothing is exclusive"
        );
    }
}
