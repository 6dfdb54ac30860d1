//! The group of one launcher thread: the limits, the members and the accounts of one tree at a time.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::{Parents, members, remove};
use crate::cache::Bytes;

/// What a slot's limits were last set to, and what the kernel has said of it.
#[derive(Debug)]
pub(in crate::launcher::process) struct Slot {
    memory: Option<Memory>,
    pids: Option<Pids>,
    /// Lists the members.
    procs: PathBuf,
    /// What a process writes to, to join; none where it is born as a member.
    joined_by: Option<PathBuf>,
    /// The groups, each with the group above it.
    groups: Vec<(PathBuf, PathBuf)>,
}

#[derive(Debug)]
struct Memory {
    limit: File,
    limit_now: Option<Bytes>,
    /// Version 1 can be asked to give back what it holds only as cache.
    reclaim: Option<PathBuf>,
    events: File,
    killed: u64,
    peak: Option<File>,
}

#[derive(Debug)]
struct Pids {
    limit: File,
    limit_now: Option<u32>,
    current: File,
    /// What is in the group beside the tree: with version 1 the thread.
    others: u32,
}

impl Slot {
    /// Makes the groups. With version 1 the calling thread becomes a member.
    pub(in crate::launcher::process) fn create(parents: &Parents, name: &str) -> io::Result<Option<Self>> {
        let mut groups = Vec::new();
        let made = Self::create_in(parents, name, &mut groups);
        match made {
            Ok(Some(mut slot)) => {
                slot.groups = groups;
                Ok(Some(slot))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                remove_groups(&groups);
                Err(error)
            }
        }
    }

    fn create_in(
        parents: &Parents,
        name: &str,
        groups: &mut Vec<(PathBuf, PathBuf)>,
    ) -> io::Result<Option<Self>> {
        let mut make = |parent: &PathBuf| {
            let group = parent.join(name);
            fs::create_dir(&group)?;
            groups.push((group.clone(), parent.clone()));
            io::Result::Ok(group)
        };
        let memory = parents.memory.as_ref().map(&mut make).transpose()?;
        let pids = parents.pids.as_ref().map(&mut make).transpose()?;
        let needs_unified = memory.is_none() || pids.is_none();
        let unified = parents.unified.as_ref().filter(|_| needs_unified).map(&mut make).transpose()?;
        for group in [&memory, &pids].into_iter().flatten() {
            fs::write(group.join("tasks"), "0")?;
        }
        let Some(list) = pids.as_ref().or(unified.as_ref()).or(memory.as_ref()) else { return Ok(None) };
        Ok(Some(Self {
            procs: list.join("cgroup.procs"),
            joined_by: unified.as_ref().map(|group| group.join("cgroup.procs")),
            memory: match (&memory, &unified) {
                (Some(group), _) => Some(Memory::version1(group)?),
                (None, Some(group)) => Some(Memory::version2(group)?),
                (None, None) => None,
            },
            pids: match (&pids, &unified) {
                (Some(group), _) => Some(Pids::open(group, 1)?),
                (None, Some(group)) => Some(Pids::open(group, 0)?),
                (None, None) => None,
            },
            groups: Vec::new(),
        }))
    }

    /// Makes it ready for the next tree: limits where they differ from the last, accounts at zero.
    pub(in crate::launcher::process) fn prepare(&mut self, memory: Bytes, processes: u32) -> io::Result<()> {
        if let Some(group) = &mut self.memory {
            group.set(memory)?;
        }
        if let Some(group) = &mut self.pids {
            group.set(processes)?;
        }
        Ok(())
    }

    /// What a process writes "0" to, to become a member; none where it is born as one.
    pub(in crate::launcher::process) fn joined_by(&self) -> Option<&Path> {
        self.joined_by.as_deref()
    }

    /// The file that lists the members.
    pub(in crate::launcher::process) fn procs(&self) -> &Path {
        &self.procs
    }

    /// The living processes of the tree.
    pub(in crate::launcher::process) fn members(&self) -> Vec<Pid> {
        members(&self.procs).unwrap_or_default()
    }

    /// Whether the kernel counts no process and no zombie in it; none where it does not count.
    pub(in crate::launcher::process) fn is_empty(&self) -> Option<bool> {
        let pids = self.pids.as_ref()?;
        Some(read_number(&pids.current)? <= u64::from(pids.others))
    }

    /// From now on the tree cannot grow.
    pub(in crate::launcher::process) fn stop_growth(&mut self) {
        if let Some(pids) = &mut self.pids {
            pids.limit_now = None;
            let _ = pids.limit.write_at(b"0", 0);
        }
    }

    /// Whether the system has killed for memory since this was last asked.
    pub(in crate::launcher::process) fn was_out_of_memory(&mut self) -> bool {
        let Some(memory) = &mut self.memory else { return false };
        let killed = read_kills(&memory.events);
        std::mem::replace(&mut memory.killed, killed) < killed
    }

    /// The most memory the tree held; none where the kernel does not keep it per tree.
    pub(in crate::launcher::process) fn peak(&self) -> Option<Bytes> {
        read_number(self.memory.as_ref()?.peak.as_ref()?).map(Bytes)
    }

    /// Leaves the groups and removes them.
    pub(in crate::launcher::process) fn remove(self) {
        remove_groups(&self.groups);
    }
}

impl Memory {
    fn version1(group: &Path) -> io::Result<Self> {
        // Swapping instead of failing would make a limit of memory one of patience.
        let _ = fs::write(group.join("memory.swappiness"), "0");
        let events = File::open(group.join("memory.oom_control"))?;
        Ok(Self {
            limit: writable(&group.join("memory.limit_in_bytes"))?,
            limit_now: None,
            reclaim: Some(group.join("memory.force_empty")),
            killed: read_kills(&events),
            events,
            peak: Some(readable_and_writable(&group.join("memory.max_usage_in_bytes"))?),
        })
    }

    fn version2(group: &Path) -> io::Result<Self> {
        let _ = fs::write(group.join("memory.swap.max"), "0");
        let events = File::open(group.join("memory.events"))?;
        Ok(Self {
            limit: writable(&group.join("memory.max"))?,
            limit_now: None,
            reclaim: None,
            killed: read_kills(&events),
            events,
            // Can be set back since Linux 6.12 only, and is of no use if it cannot.
            peak: readable_and_writable(&group.join("memory.peak")).ok(),
        })
    }

    fn set(&mut self, limit: Bytes) -> io::Result<()> {
        if self.limit_now != Some(limit) {
            self.limit_now = None;
            let text = limit.0.to_string();
            if let Err(error) = self.limit.write_at(text.as_bytes(), 0) {
                // What earlier functions left in the page cache can be in the way.
                let reclaim = self.reclaim.as_ref().ok_or(error)?;
                fs::write(reclaim, "0")?;
                self.limit.write_at(text.as_bytes(), 0)?;
            }
            self.limit_now = Some(limit);
        }
        if let Some(peak) = &self.peak {
            peak.write_at(b"0", 0)?;
        }
        Ok(())
    }
}

impl Pids {
    fn open(group: &Path, others: u32) -> io::Result<Self> {
        Ok(Self {
            limit: writable(&group.join("pids.max"))?,
            limit_now: None,
            current: File::open(group.join("pids.current"))?,
            others,
        })
    }

    fn set(&mut self, limit: u32) -> io::Result<()> {
        if self.limit_now != Some(limit) {
            self.limit_now = None;
            self.limit.write_at(limit.saturating_add(self.others).to_string().as_bytes(), 0)?;
            self.limit_now = Some(limit);
        }
        Ok(())
    }
}

/// Moves the calling thread out of the groups (if it is in them) and removes them.
fn remove_groups(groups: &[(PathBuf, PathBuf)]) {
    for (group, parent) in groups {
        if group.join("tasks").exists() {
            let _ = fs::write(parent.join("tasks"), "0");
        }
        if let Err(error) = remove(group) {
            tracing::warn!(group = %group.display(), %error, "a control group cannot be removed");
        }
    }
}

fn writable(path: &Path) -> io::Result<File> {
    File::options().write(true).open(path)
}

fn readable_and_writable(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}

/// The file from its beginning, as much as fits.
fn read<'a>(file: &File, buffer: &'a mut [u8]) -> Option<&'a str> {
    let read = file.read_at(buffer, 0).ok()?;
    std::str::from_utf8(&buffer[..read]).ok()
}

fn read_number(file: &File) -> Option<u64> {
    read(file, &mut [0; 32])?.trim().parse().ok()
}

/// The value of `oom_kill`, which both versions write alike.
fn read_kills(file: &File) -> u64 {
    let mut buffer = [0; 512];
    let text = read(file, &mut buffer).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake_version2(dir: &Path, name: &str) -> PathBuf {
        let group = dir.join(name);
        fs::create_dir(&group).unwrap();
        for file in ["memory.max", "memory.peak", "memory.swap.max", "pids.max", "cgroup.procs"] {
            fs::write(group.join(file), "").unwrap();
        }
        fs::write(group.join("memory.events"), "low 0\noom 3\noom_kill 2\n").unwrap();
        fs::write(group.join("pids.current"), "0\n").unwrap();
        group
    }

    #[test]
    fn limits_are_written_only_when_they_differ_from_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let group = fake_version2(dir.path(), "slot");
        let mut memory = Memory::version2(&group).unwrap();
        memory.set(Bytes(123)).unwrap();
        assert_eq!(fs::read_to_string(group.join("memory.max")).unwrap(), "123");
        fs::write(group.join("memory.max"), "").unwrap();
        memory.set(Bytes(123)).unwrap();
        assert_eq!(fs::read_to_string(group.join("memory.max")).unwrap(), "");
        memory.set(Bytes(124)).unwrap();
        assert_eq!(fs::read_to_string(group.join("memory.max")).unwrap(), "124");
    }

    #[test]
    fn the_thread_of_a_slot_does_not_count_as_one_of_its_processes() {
        let dir = tempfile::tempdir().unwrap();
        let group = fake_version2(dir.path(), "slot");
        let mut pids = Pids::open(&group, 1).unwrap();
        pids.set(8).unwrap();
        assert_eq!(fs::read_to_string(group.join("pids.max")).unwrap(), "9");
    }

    #[test]
    fn kills_for_memory_are_read_from_either_version() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("events");
        for (text, kills) in
            [("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n", 4), ("oom 1\noom_kill 7\n", 7), ("", 0)]
        {
            fs::write(&file, text).unwrap();
            assert_eq!(read_kills(&File::open(&file).unwrap()), kills);
        }
    }
}
