//! The processes of one launch, found and ended.
//!
//! This process is the reaper of all that loses its parent below it. So when the first process of a tree is dead, each
//! of the others is either such an adopted child or descends from one: killing and reaping adopted children until
//! there is none with our marks ends any tree, however its processes left group and session.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpgid, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper,
};

use super::cgroup::Slot;
use super::identity::{Life, Marks, all_processes};
use super::sys::{self, Reaped};

/// How long a killed process is waited for before we look again.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Makes this process the one that adopts orphans below it.
pub(super) fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// The children of the main thread, which adopts; only those with our marks are ours.
fn adopted() -> Vec<Pid> {
    let mut last = String::new();
    loop {
        // A kernel without this list: all are looked at.
        let Ok(list) = main_thread_children() else { return all_processes() };
        // The kernel walks the list by position, and skips one where an earlier one is reaped meanwhile. That one
        // was listed, and is no more when we look again.
        if list.is_empty() || list == last {
            return list
                .split_ascii_whitespace()
                .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
                .collect();
        }
        last = list;
    }
}

fn main_thread_children() -> io::Result<String> {
    let me = getpid().as_raw_pid();
    let mut list = String::with_capacity(4096);
    File::open(format!("/proc/{me}/task/{me}/children"))?.read_to_string(&mut list)?;
    Ok(list)
}

/// Ends what is left of a tree whose first process is dead. Gives the CPU time of what was reaped.
pub(super) fn end(marks: &Marks, slot: Option<&mut Slot>) -> Duration {
    let mut slot = slot;
    let mut cpu = Duration::ZERO;
    let mut seen = BTreeSet::new();
    loop {
        if slot.as_ref().is_some_and(|slot| slot.is_empty() == Some(true)) {
            return cpu;
        }
        let mut left: BTreeSet<i32> =
            slot.iter().flat_map(|slot| slot.members()).map(Pid::as_raw_pid).collect();
        seen.extend(left.iter().copied());
        let orphans: Vec<Pid> = adopted()
            .into_iter()
            .filter(|pid| seen.contains(&pid.as_raw_pid()) || marks.are_on(*pid))
            .collect();
        left.extend(orphans.iter().map(|pid| pid.as_raw_pid()));
        if left.is_empty() {
            return cpu;
        }
        if let Some(slot) = &mut slot {
            slot.stop_growth();
        }
        seen.extend(left.iter().copied());
        for pid in left.into_iter().filter_map(Pid::from_raw) {
            let in_slot = || slot.as_ref().is_some_and(|slot| slot.members().contains(&pid));
            signal(pid, Signal::KILL, true, || marks.are_on(pid) || in_slot());
        }
        for orphan in orphans {
            if let Ok(Reaped { cpu: used, .. }) = sys::reap(orphan) {
                cpu += used;
            }
        }
    }
}

/// Asks those of a living tree to end that are not in the group of its first process.
pub(super) fn terminate_outside(group: Pid, marks: &Marks, members: Option<Vec<Pid>>) {
    for pid in members.unwrap_or_else(all_processes) {
        let is_outside = || marks.are_on(pid) && getpgid(Some(pid)).is_ok_and(|other| other != group);
        if is_outside() {
            signal(pid, Signal::TERM, false, is_outside);
        }
    }
}

/// The processes of a living tree.
pub(super) fn members(first: Pid, marks: &Marks) -> Vec<Pid> {
    all_processes().into_iter().filter(|pid| *pid == first || marks.are_on(*pid)).collect()
}

/// Ends what a former life of this worker left alive. Those are no children of ours.
pub(super) fn end_former_lives(life: Life) {
    loop {
        let mut found = false;
        for pid in all_processes() {
            if life.was_started_in_another(pid) {
                found |= signal(pid, Signal::KILL, true, || life.was_started_in_another(pid));
            }
        }
        if !found {
            return;
        }
    }
}

/// Signals a process that `belongs`, behind a handle, so that nobody who got its number later is hit. True where
/// it was alive.
fn signal(pid: Pid, signal: Signal, wait: bool, belongs: impl Fn() -> bool) -> bool {
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    let ended = |patience: &Timespec| {
        poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(patience)).is_ok_and(|ready| ready > 0)
    };
    if ended(&Timespec { tv_sec: 0, tv_nsec: 0 }) || !belongs() || pidfd_send_signal(&handle, signal).is_err()
    {
        return false;
    }
    if wait {
        ended(&PATIENCE);
    }
    true
}
