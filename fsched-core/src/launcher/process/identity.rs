//! How a process is known to be ours, whatever it did: two marks that it inherits.
//!
//! The *mark* is an environment variable; `env -i` takes it off. The *dye* is a hard limit that means nothing (only
//! real-time threads have one, and ours is 146,000 years): children inherit it, and an unprivileged process can only lower it.

use std::fs;

use rustix::process::Pid;

use super::sys;
use crate::id::{AttemptId, WorkerKey};

/// The variable that carries the mark.
pub(super) const MARK: &str = "FSCHED_MARK";

/// One run of a worker's program: its key, and a number that differs from the run before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    pub(super) key: WorkerKey,
    pub(super) number: u8,
}

impl Life {
    const FLAG: u64 = 1 << 62;

    /// The dye of one launch.
    pub(super) fn dye(self, launch: u32) -> u64 {
        self.key_dye() | u64::from(self.number) << 32 | u64::from(launch)
    }

    /// 22 bits of the key, behind which are 8 of the life and 32 of the launch.
    fn key_dye(self) -> u64 {
        let [a, b, c, ..] = self.key.0;
        let key = (u64::from(a) << 16 | u64::from(b) << 8 | u64::from(c)) >> 2;
        Self::FLAG | key << 40
    }

    /// The value of the mark of one attempt.
    pub(super) fn mark(self, attempt: AttemptId) -> String {
        format!("{}.{}:{attempt}", self.key, self.number)
    }

    /// What every mark of this life begins with, the variable's name included.
    pub(super) fn mark_prefix(self) -> String {
        format!("{MARK}={}.{}:", self.key, self.number)
    }

    /// What the names of this life's control groups begin with.
    pub(super) fn group_prefix(self) -> String {
        format!("{}{}-", group_prefix(self.key), self.number)
    }

    /// Whether a process belongs to another life of this worker.
    pub(super) fn was_started_in_another(self, pid: Pid) -> bool {
        let mark = mark_of(pid);
        if let Some(mark) = &mark {
            let ours = mark.strip_prefix(&self.key.to_string()).and_then(|rest| rest.strip_prefix('.'));
            return ours.is_some_and(|rest| !rest.starts_with(&format!("{}:", self.number)));
        }
        sys::dye_of(pid)
            .is_some_and(|dye| dye >> 40 == self.key_dye() >> 40 && (dye >> 32) as u8 != self.number)
    }
}

/// What the names of all control groups of a worker begin with.
pub(super) fn group_prefix(key: WorkerKey) -> String {
    let mut name = format!("fsched-{key}");
    name.truncate("fsched-".len() + 16);
    name.push('-');
    name
}

/// Both marks of one launch.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    pub(super) dye: u64,
    pub(super) mark: String,
}

impl Marks {
    /// Whether a process carries one of them.
    pub(super) fn are_on(&self, pid: Pid) -> bool {
        sys::dye_of(pid) == Some(self.dye) || mark_of(pid).is_some_and(|mark| mark == self.mark)
    }
}

fn mark_of(pid: Pid) -> Option<String> {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_pid())).ok()?;
    let mark = environment
        .split(|b| *b == 0)
        .find_map(|entry| entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(mark.to_vec()).ok()
}

/// Every process of the machine that we can see.
pub(super) fn all_processes() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_dye_is_a_limit_that_no_run_reaches_and_tells_launches_apart(
            key in any::<[u8; 16]>(), number in any::<u8>(), one in any::<u32>(), other in any::<u32>(),
        ) {
            let life = Life { key: WorkerKey(key), number };
            prop_assert_eq!(life.dye(one) >> 62, 1, "set, and far from infinity");
            prop_assert_eq!(life.dye(one) == life.dye(other), one == other);
            let next = Life { number: number.wrapping_add(1), ..life };
            prop_assert_ne!(life.dye(one) >> 32, next.dye(one) >> 32);
            prop_assert_eq!(life.dye(one) >> 40, next.dye(one) >> 40);
        }
    }

    #[test]
    fn names_of_a_life_carry_the_key() {
        let life = Life { key: WorkerKey([0xab; 16]), number: 7 };
        assert_eq!(life.group_prefix(), "fsched-abababababababab-7-");
        assert!(life.mark_prefix().starts_with("FSCHED_MARK=abababababababababababababababab.7:"));
    }
}
