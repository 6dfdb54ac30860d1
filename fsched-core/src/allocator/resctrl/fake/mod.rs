//! A resctrl filesystem that only pretends: the kernel's rules and texts, and every failure on demand.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`FakeKernel`], what machine it has, what it can be told to do wrong |
//! | `files.rs` | which files there are, and what they say |
//! | `schemata.rs` | schemata as the kernel reads, checks and shows them |
//! | `groups.rs` | groups made and removed, their modes |
//! | `members.rs` | tasks and CPUs of groups |
//!
//! It follows `arch/x86/kernel/cpu/resctrl/{rdtgroup,ctrlmondata}.c` of Linux 6.12 and, where they differ, 6.1. A script of
//! operations that is replayed on it and on a real kernel gives the same numbers and texts.

mod files;
mod groups;
mod members;
mod schemata;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::fs::{Act, ResctrlFs};
use crate::cache::DomainId;

/// Memory bandwidth of a pretended machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FakeBandwidth {
    /// Classes that it has, the root's included.
    pub closids: usize,
    /// The least that can be set.
    pub least: u32,
    /// What values are rounded up to.
    pub granularity: u32,
    /// The most that can be set, and what a group has that nobody limits: 100 percent; 2048 eighths of GB/s on AMD.
    pub whole: u32,
}

/// Monitoring of a pretended machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FakeMonitoring {
    /// Monitoring ids that it has, the root's included.
    pub rmids: usize,
    /// Whether it counts memory traffic, and not only occupancy.
    pub traffic: bool,
}

/// A pretended machine and its kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeMachine {
    /// Ways of each L3.
    pub ways: u32,
    /// The fewest bits of a mask; 0 on AMD.
    pub min_bits: u32,
    /// Whether masks may have gaps: AMD.
    pub sparse: bool,
    /// Ways that I/O fills too.
    pub shareable: u32,
    /// Classes of the L3, the root's included; half of them with CDP.
    pub closids: usize,
    /// The L3s, whose numbers may have gaps.
    pub domains: Vec<DomainId>,
    /// CPUs in all.
    pub cpus: u16,
    /// Whether code and data have masks of their own (the mount option `cdp`).
    pub cdp: bool,
    /// Whether the hardware could do that: it makes the kernel write more blanks.
    pub cdp_capable: bool,
    /// Memory bandwidth, where it can be limited.
    pub bandwidth: Option<FakeBandwidth>,
    /// Monitoring, where there is.
    pub monitoring: Option<FakeMonitoring>,
    /// Whether the kernel is as old as 6.1, and not 6.12.
    pub old_kernel: bool,
    /// Whether it can only monitor.
    pub monitor_only: bool,
}

impl FakeMachine {
    /// An Intel server: 20 contiguous ways, 16 classes, one L3.
    pub fn intel() -> Self {
        Self {
            ways: 20,
            min_bits: 1,
            sparse: false,
            shareable: 0,
            closids: 16,
            domains: vec![DomainId(0)],
            cpus: 4,
            cdp: false,
            cdp_capable: true,
            bandwidth: None,
            monitoring: None,
            old_kernel: false,
            monitor_only: false,
        }
    }

    /// An AMD server: 16 ways in any combination, 16 classes, four L3s.
    pub fn amd() -> Self {
        Self { ways: 16, min_bits: 0, sparse: true, domains: (0..4).map(DomainId).collect(), ..Self::intel() }
    }

    fn all_ways(&self) -> u32 {
        u32::MAX >> (32 - self.ways)
    }
}

/// A failure that was ordered: the next `times` acts of that kind on paths that end in `path` fail with `errno`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What fails.
    pub act: Act,
    /// On which paths.
    pub path: String,
    /// How many succeed before.
    pub after: u32,
    /// How many fail.
    pub times: u32,
    /// The number of the error.
    pub errno: i32,
    /// What `last_cmd_status` says of it.
    pub status: &'static str,
}

/// A resctrl filesystem that only pretends. Clones are the same one.
#[derive(Debug, Clone)]
pub struct FakeKernel(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    machine: FakeMachine,
    mounted: bool,
    read_only: bool,
    locked: bool,
    /// By name; the root is `""`.
    groups: BTreeMap<String, Group>,
    /// Monitoring ids that wait for their occupancy to drop.
    limbo: usize,
    /// What the last commands said, a line each.
    status: String,
    /// Tasks that exist, and whether we may move them.
    tasks: BTreeMap<i32, bool>,
    /// Ways that widen each mask which touches one of them to all of them.
    contended: u32,
    faults: Vec<Fault>,
    /// What monitoring files say.
    counters: BTreeMap<String, String>,
    /// Every write so far: path and text.
    writes: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
struct Group {
    closid: usize,
    exclusive: bool,
    /// By the name of the line and the domain.
    values: BTreeMap<(&'static str, DomainId), u32>,
    tasks: BTreeSet<i32>,
    cpus: BTreeSet<u16>,
}

impl FakeKernel {
    /// A freshly mounted one.
    pub fn new(machine: FakeMachine) -> Self {
        let mut state = State {
            mounted: true,
            read_only: false,
            locked: false,
            groups: BTreeMap::new(),
            limbo: 0,
            status: String::new(),
            tasks: BTreeMap::new(),
            contended: 0,
            faults: Vec::new(),
            counters: BTreeMap::new(),
            writes: Vec::new(),
            machine,
        };
        state.mount();
        Self(Arc::new(Mutex::new(state)))
    }

    /// Orders a failure.
    pub fn fail(&self, fault: Fault) {
        self.0.lock().faults.push(fault);
    }

    /// Cancels all failures that were ordered.
    pub fn recover(&self) {
        let mut state = self.0.lock();
        state.faults.clear();
        state.read_only = false;
        state.locked = false;
    }

    /// From now on nothing can be changed: EROFS.
    pub fn make_read_only(&self) {
        self.0.lock().read_only = true;
    }

    /// From now on somebody else has the lock.
    pub fn hold_lock(&self) {
        self.0.lock().locked = true;
    }

    /// Unmounts it: all groups are gone.
    pub fn unmount(&self) {
        let mut state = self.0.lock();
        state.mounted = false;
        state.groups.clear();
    }

    /// Somebody else removes a group.
    pub fn vanish(&self, group: &str) {
        self.0.lock().groups.remove(group);
    }

    /// A mask that touches one of these ways gets all of them.
    pub fn contend(&self, ways: u32) {
        self.0.lock().contended = ways;
    }

    /// Freed monitoring ids have cooled down.
    pub fn empty_limbo(&self) {
        self.0.lock().limbo = 0;
    }

    /// A task begins to exist, in the root group; `ours`: we may move it.
    pub fn start_task(&self, task: i32, ours: bool) {
        let mut state = self.0.lock();
        state.tasks.insert(task, ours);
        if let Some(root) = state.groups.get_mut("") {
            root.tasks.insert(task);
        }
    }

    /// A task ends.
    pub fn end_task(&self, task: i32) {
        let mut state = self.0.lock();
        state.tasks.remove(&task);
        state.groups.values_mut().for_each(|group| _ = group.tasks.remove(&task));
    }

    /// What a monitoring file says from now on.
    pub fn count(&self, path: &str, text: &str) {
        self.0.lock().counters.insert(path.to_owned(), text.to_owned());
    }

    /// The mask of a group in a domain, without asking through a file; `""` is the root.
    pub fn mask(&self, group: &str, domain: DomainId) -> Option<u32> {
        let state = self.0.lock();
        let line = state.cache_lines()[0];
        state.groups.get(group)?.values.get(&(line, domain)).copied()
    }

    /// All groups but the root.
    pub fn groups(&self) -> Vec<String> {
        self.0.lock().groups.keys().filter(|name| !name.is_empty()).cloned().collect()
    }

    /// Every write so far, path and text, and forgets them.
    pub fn take_writes(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.0.lock().writes)
    }
}

impl State {
    /// Fails where that was ordered.
    fn check(&mut self, act: Act, path: &str) -> io::Result<()> {
        if !self.mounted {
            return Err(errno(libc::ENOENT));
        }
        for fault in &mut self.faults {
            if fault.act != act || !path.ends_with(&fault.path) || fault.times == 0 {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            fault.times -= 1;
            self.status = fault.status.to_owned();
            return Err(errno(fault.errno));
        }
        let changes = matches!(act, Act::Write | Act::MakeGroup | Act::RemoveGroup);
        if changes && self.read_only { Err(errno(libc::EROFS)) } else { Ok(()) }
    }

    fn say(&mut self, line: &str) {
        self.status.push_str(line);
        self.status.push('\n');
    }
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl ResctrlFs for FakeKernel {
    fn root(&self) -> &Path {
        Path::new("/sys/fs/resctrl")
    }

    fn is_mounted(&self) -> io::Result<bool> {
        Ok(self.0.lock().mounted)
    }

    fn read(&self, path: &str) -> io::Result<String> {
        let mut state = self.0.lock();
        state.check(Act::Read, path)?;
        state.read(path)
    }

    fn write(&self, path: &str, text: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.check(Act::Write, path)?;
        state.writes.push((path.to_owned(), text.to_owned()));
        let (group, file) = path.rsplit_once('/').unwrap_or(("", path));
        if !state.groups.contains_key(group) {
            return Err(errno(if path.starts_with("info/") { libc::EACCES } else { libc::ENOENT }));
        }
        match file {
            "schemata" => state.write_schemata(group, text),
            "mode" => state.write_mode(group, text),
            "tasks" => state.write_tasks(group, text),
            "cpus" | "cpus_list" => state.write_cpus(group, text, file == "cpus_list"),
            _ => Err(errno(if state.read(path).is_ok() { libc::EACCES } else { libc::ENOENT })),
        }
    }

    fn make_group(&self, path: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.check(Act::MakeGroup, path)?;
        state.make_group(path)
    }

    fn remove_group(&self, path: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.check(Act::RemoveGroup, path)?;
        state.remove_group(path)
    }

    fn directories(&self, path: &str) -> io::Result<Vec<String>> {
        let mut state = self.0.lock();
        state.check(Act::List, path)?;
        state.directories(path)
    }

    fn lock(&self) -> io::Result<Box<dyn Send>> {
        if self.0.lock().locked { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(Box::new(())) }
    }
}
